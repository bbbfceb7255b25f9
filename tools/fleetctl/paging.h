// Lists that come in pages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "tools/fleetctl/client.h"

namespace fleet {

inline constexpr uint32_t kPageSize = 500;

// Calls `take` with each page until the last one, or until `take` says false: enough.
template <typename ListT, typename TakePage>
absl::Status ForEachPage(Client& client, absl::string_view path, Query query, TakePage take) {
  query["limit"] = absl::StrCat(kPageSize);
  while (true) {
    ListT page;
    RETURN_IF_ERROR(client.Get(path, query, page));
    const std::string next = page.next_cursor();
    if (!take(page) || next.empty()) return absl::OkStatus();
    if (next == query["cursor"]) return absl::InternalError("the server's list does not go on; this is its mistake");
    query["cursor"] = next;
  }
}

// Reads at most `limit` items into `list`, whose cursor is then where it goes on. `items` picks the repeated field of
// a page: [](v1::EventList& page) { return page.mutable_events(); }
template <typename ListT, typename ItemsOf>
absl::Status FetchUpTo(Client& client, absl::string_view path, Query query, uint32_t limit, ListT& list,
                       ItemsOf items) {
  do {
    const uint32_t left = limit - static_cast<uint32_t>(items(list)->size());
    query["limit"] = absl::StrCat(std::min(left, kPageSize));
    ListT page;
    RETURN_IF_ERROR(client.Get(path, query, page));
    // A page without items would be the last one whatever it says.
    list.set_next_cursor(items(page)->empty() ? "" : page.next_cursor());
    items(list)->MergeFrom(*items(page));
    query["cursor"] = list.next_cursor();
  } while (!list.next_cursor().empty() && static_cast<uint32_t>(items(list)->size()) < limit);
  return absl::OkStatus();
}

}  // namespace fleet
