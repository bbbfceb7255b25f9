// A controller that is its own device agent: it links the agent, tells it how its robot moves, and needs nothing else.
//   build/release/bin/embedded_controller tcp://127.0.0.1:1883
#include <iostream>
#include <memory>

#include "device/app.h"

using namespace fleet;          // NOLINT(google-build-using-namespace): an example reads better so
using namespace fleet::device;  // NOLINT(google-build-using-namespace)

// One arm on a rail. All calls come from the agent's loop: hand long work to a thread of your own, and let that say
// App::Push(SegmentEnded{...}) when it is over.
class Rail : public EntityDriver {
 public:
  // Says when the segment will be over; MonoTime::Max() if only a SegmentEnded will tell.
  absl::StatusOr<MonoTime> Start(const SegmentOrder& order, MonoTime now, Effects&) override {
    if (order.segment.end_y_mm() != 0) return absl::FailedPreconditionError("off_the_rail");  // the operator sees this
    target_mm_ = order.segment.end_x_mm();
    return now + absl::Seconds(2);  // this rail takes two seconds to anywhere
  }
  void Stop(const SegmentOrder&, MonoTime, Effects&) override { at_mm_ = target_mm_; }
  std::optional<Pose> PoseAt(MonoTime) const override { return Pose{.x_mm = at_mm_}; }

 private:
  int32_t at_mm_ = 0;
  int32_t target_mm_ = 0;
};

int main(int argc, char** argv) {
  SystemClock clock;
  EventLoop loop(clock);
  loop.StopOnSignals();  // SIGINT and SIGTERM end Run with a goodbye to the server
  AppOptions options{.link = {.url = argc > 1 ? argv[1] : "tcp://127.0.0.1:1883"},
                     .agent = {.device = DeviceId::Parse("rail-1").value(),
                               // 1 more at each start of a real controller: device/life.h keeps the count
                               .epoch = static_cast<uint32_t>(absl::ToUnixSeconds(clock.Read().wall)),
                               .started_unix_ms = clock.Read().unix_ms()}};
  options.agent.entities.push_back({EntityId{1}, std::make_unique<Rail>()});
  const auto app = App::Open(std::move(options), clock, loop);
  const absl::Status status = app.ok() ? (*app)->Run() : app.status();
  if (!status.ok()) std::cerr << "embedded_controller: " << status << std::endl;
  return status.ok() ? 0 : 1;
}
