#include "common/testing/topic_tree.h"

#include <algorithm>

namespace fleet {
namespace {

// Takes the first level off `path`. False when it was the last: `path` is what it was.
bool SplitLevel(absl::string_view& path, absl::string_view& level) {
  const size_t slash = path.find('/');
  level = path.substr(0, slash);
  if (slash == absl::string_view::npos) return false;
  path.remove_prefix(slash + 1);
  return true;
}

bool IsHidden(absl::string_view topic) {
  return !topic.empty() && topic[0] == '$';
}
bool IsWildcard(absl::string_view filter) {
  return !filter.empty() && (filter[0] == '+' || filter[0] == '#');
}

}  // namespace

bool TopicMatches(absl::string_view filter, absl::string_view topic) {
  if (IsHidden(topic) && IsWildcard(filter)) return false;
  while (filter != "#") {
    absl::string_view wanted, level;
    const bool filter_goes_on = SplitLevel(filter, wanted);
    const bool topic_goes_on = SplitLevel(topic, level);
    if (wanted != "+" && wanted != level) return false;
    if (!topic_goes_on) return !filter_goes_on || filter == "#";  // a/# selects a as well
    if (!filter_goes_on) return false;
  }
  return true;
}

void TopicTree::Add(absl::string_view filter, Subscriber subscriber) {
  absl::string_view level;
  const bool more = SplitLevel(filter, level);
  std::unique_ptr<TopicTree>& child = children_[level];
  if (child == nullptr) child = std::make_unique<TopicTree>();
  more ? child->Add(filter, subscriber) : child->here_.push_back(subscriber);
}

void TopicTree::Remove(absl::string_view filter, uint32_t index) {
  absl::string_view level;
  const bool more = SplitLevel(filter, level);
  const auto it = children_.find(level);
  if (it == children_.end()) return;
  TopicTree& child = *it->second;
  if (more) {
    child.Remove(filter, index);
  } else {
    auto& here = child.here_;
    here.erase(std::remove_if(here.begin(), here.end(), [&](const Subscriber& s) { return s.index == index; }),
               here.end());
  }
  if (child.empty()) children_.erase(it);
}

std::vector<TopicTree::Subscriber> TopicTree::Match(absl::string_view topic) const {
  std::vector<Subscriber> found;
  Collect(topic, !IsHidden(topic), found);
  std::sort(found.begin(), found.end(), [](const Subscriber& a, const Subscriber& b) {
    return a.index != b.index ? a.index < b.index : a.qos > b.qos;
  });
  found.erase(std::unique(found.begin(), found.end(),
                          [](const Subscriber& a, const Subscriber& b) { return a.index == b.index; }),
              found.end());
  return found;
}

void TopicTree::Collect(absl::string_view topic, bool wildcards, std::vector<Subscriber>& out) const {
  absl::string_view rest = topic, level;
  const bool more = SplitLevel(rest, level);
  const auto add = [&](const TopicTree& node) { out.insert(out.end(), node.here_.begin(), node.here_.end()); };
  const auto descend = [&](const TopicTree& child) {
    if (more) return child.Collect(rest, true, out);
    add(child);
    if (const auto all = child.children_.find("#"); all != child.children_.end()) add(*all->second);
  };
  if (const auto it = children_.find(level); it != children_.end()) descend(*it->second);
  if (!wildcards) return;
  if (const auto it = children_.find("+"); it != children_.end()) descend(*it->second);
  if (const auto it = children_.find("#"); it != children_.end()) add(*it->second);
}

}  // namespace fleet
