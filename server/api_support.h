// What the handlers of the HTTP API share: reading a request, asking the loop, answering.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/ask_loop.h"
#include "common/http_server.h"
#include "common/status_macros.h"
#include "server/api.h"

namespace fleet::server {

inline constexpr absl::Duration kLoopPatience = absl::Seconds(2);

template <typename NumberT>
absl::Status ReadNumber(const HttpRequest& request, const std::string& key, NumberT& out) {
  const auto found = request.query.find(key);
  if (found == request.query.end() || absl::SimpleAtoi(found->second, &out)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("?", key, "=", found->second, " is not a whole number"));
}

inline absl::StatusOr<int> LimitOf(const HttpRequest& request) {
  constexpr int kMaxLimit = 1000;
  int limit = 100;
  RETURN_IF_ERROR(ReadNumber(request, "limit", limit));
  if (limit < 1 || limit > kMaxLimit) {
    return absl::InvalidArgumentError(absl::StrCat("?limit=", limit, " is not within 1 and ", kMaxLimit));
  }
  return limit;
}

inline std::string TextOf(const HttpRequest& request, const std::string& key) {
  const auto found = request.query.find(key);
  return found == request.query.end() ? "" : found->second;
}

inline absl::StatusOr<EntityId> EntityIdOf(absl::string_view text) {
  uint32_t id = 0;
  if (!absl::SimpleAtoi(text, &id)) return absl::InvalidArgumentError(absl::StrCat(text, " is no entity id"));
  return EntityId{id};
}

template <typename MessageT>
HttpResponse Respond(const absl::StatusOr<MessageT>& answer) {
  return answer.ok() ? JsonResponse(*answer) : ErrorResponse(answer.status());
}

template <typename MessageT>
HttpResponse RespondCreated(const absl::StatusOr<MessageT>& answer) {
  HttpResponse response = Respond(answer);
  if (answer.ok()) response.status = 201;
  return response;
}

// Runs `work` on the loop thread, which answers now or later, and waits for that.
template <typename T>
absl::StatusOr<T> AwaitFromLoop(const ApiParts& parts, absl::Duration patience,
                                std::function<void(Now, std::shared_ptr<Owed<T>>)> work) {
  return fleet::AwaitFromLoop<T>(parts.loop, parts.clock, patience, std::move(work));
}

// Runs `work` on the loop thread and waits for its answer.
template <typename T>
absl::StatusOr<T> OnLoop(const ApiParts& parts, std::function<absl::StatusOr<T>(Now)> work) {
  return AskLoop<T>(parts.loop, parts.clock, kLoopPatience, std::move(work));
}

}  // namespace fleet::server
