// Who subscribed to what: topic filters with + and # (MQTT 5, section 4.7).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace fleet {

// Whether `filter` selects `topic`. Topics that begin with $ are selected only by filters that do.
bool TopicMatches(absl::string_view filter, absl::string_view topic);

// One level of the topics and all below it. Looking up a topic costs its number of levels, whatever else is in there.
class TopicTree {
 public:
  struct Subscriber {
    uint32_t index;
    int qos;
  };

  void Add(absl::string_view filter, Subscriber subscriber);
  void Remove(absl::string_view filter, uint32_t index);
  // Each subscriber once, with the highest QoS that it asked for, by rising index.
  std::vector<Subscriber> Match(absl::string_view topic) const;

 private:
  void Collect(absl::string_view topic, bool wildcards, std::vector<Subscriber>& out) const;
  bool empty() const { return children_.empty() && here_.empty(); }

  absl::flat_hash_map<std::string, std::unique_ptr<TopicTree>> children_;
  std::vector<Subscriber> here_;
};

}  // namespace fleet
