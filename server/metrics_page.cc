#include "server/metrics_page.h"

#include <iterator>
#include <string>

#include "common/metrics.h"
#include "server/stream_views.h"

namespace fleet::server {
namespace {

void AddIngest(const MetricsSources& s, MetricsPage& page) {
  const Ingest::Counters& ingest = s.ingest.counters();
  page.Counter("fleet_ingest_accepted_total", "Messages understood.", static_cast<double>(ingest.accepted));
  for (size_t i = 0; i < kRejectReasonNames.size(); ++i) {
    page.Counter("fleet_ingest_rejected_total", "Messages refused, by reason.", static_cast<double>(ingest.rejected[i]),
                 {{"reason", std::string(kRejectReasonNames[i])}});
  }
  page.Counter("fleet_ingest_dropped_total", "Messages dropped because the loop was too slow.",
               static_cast<double>(s.inbound_dropped));
  const FleetState::Counters& state = s.state.counters();
  page.Counter("fleet_heartbeats_total", "Heartbeats taken in.", static_cast<double>(state.heartbeats));
  page.Counter("fleet_state_reports_total", "State reports taken in.", static_cast<double>(state.state_reports));
  page.Counter("fleet_gateway_states_total", "Gateway states of devices, which are for other tools.",
               static_cast<double>(state.gateway_states));
  page.Counter("fleet_stale_epoch_total", "Messages of an older life of a device, ignored.",
               static_cast<double>(state.stale_epoch));
  page.Counter("fleet_devices_refused_total", "Messages of devices past liveness.max_devices.",
               static_cast<double>(state.devices_refused));
  page.Counter("fleet_entities_refused_total", "Entity states past 256 entities of a device.",
               static_cast<double>(state.entities_refused));
}

void AddFleet(const FleetState& state, MetricsPage& page) {
  for (LivenessState s :
       {LivenessState::kUnknown, LivenessState::kOnline, LivenessState::kStale, LivenessState::kOffline}) {
    page.Gauge("fleet_devices", "Devices by liveness.", static_cast<double>(state.liveness().count(s)),
               {{"state", std::string(Name(s))}});
  }
  uint64_t expected = 0;
  uint64_t stored = 0;
  uint64_t duplicate = 0;
  for (DeviceIndex i = 0; i < state.registry().size(); ++i) {
    const Device& device = state.registry().at(i);
    for (const SequenceTracker* tracker : {&device.heartbeats, &device.states}) {
      expected += tracker->saved().expected;
      stored += tracker->saved().stored;
      duplicate += tracker->saved().duplicate;
    }
  }
  page.Counter("fleet_messages_expected_total", "Numbered messages that devices sent.", static_cast<double>(expected));
  page.Counter("fleet_messages_stored_total", "Numbered messages that arrived.", static_cast<double>(stored));
  page.Counter("fleet_messages_duplicate_total", "Numbered messages that arrived again.",
               static_cast<double>(duplicate));
  page.Gauge("fleet_broker_connected", "1 while the broker link is up.", state.hearing().link_up() ? 1 : 0);
  page.Gauge("fleet_broker_hears", "1 while messages arrive through it.", state.hearing().hears() ? 1 : 0);
}

void AddStreams(const FleetStreams& streams, MetricsPage& page) {
  const StreamTotals of_stream[] = {streams.Totals(v1::STREAM_EVENT), streams.Totals(v1::STREAM_TELEMETRY)};
  const auto each = [&](auto add) {
    for (size_t i = 0; i < std::size(of_stream); ++i) add(of_stream[i], WordOf(DeviceStreams::kStreams[i]));
  };
  each([&](const StreamTotals& totals, const std::string& stream) {
    page.Counter("fleet_stream_sent_total", "Records that devices numbered.", static_cast<double>(totals.sent),
                 {{"stream", stream}});
  });
  each([&](const StreamTotals& totals, const std::string& stream) {
    page.Counter("fleet_stream_stored_total", "Records stored.", static_cast<double>(totals.stored),
                 {{"stream", stream}});
  });
  each([&](const StreamTotals& totals, const std::string& stream) {
    page.Counter("fleet_stream_duplicate_total", "Records that came again.", static_cast<double>(totals.duplicate),
                 {{"stream", stream}});
  });
  each([&](const StreamTotals& totals, const std::string& stream) {
    for (int number = v1::DROP_REASON_SPOOL_FULL; number < v1::DropReason_ARRAYSIZE; ++number) {
      const auto reason = static_cast<v1::DropReason>(number);
      const auto found = totals.dropped.find(reason);
      const uint64_t count = found == totals.dropped.end() ? 0 : found->second;
      page.Counter("fleet_stream_dropped_total", "Records given up, by reason.", static_cast<double>(count),
                   {{"stream", stream}, {"reason", WordOf(reason)}});
    }
  });
  each([&](const StreamTotals& totals, const std::string& stream) {
    page.Gauge("fleet_stream_in_flight", "Records on their way.", static_cast<double>(totals.in_flight()),
               {{"stream", stream}});
  });
  page.Counter("fleet_stream_refused_total", "Batches and ledger reports not taken; they come again.",
               static_cast<double>(streams.counters().refused));
  page.Gauge("fleet_ledger_unbalanced", "Devices whose ledger does not balance.",
             static_cast<double>(streams.unbalanced()));
}

void AddQuarantine(const Quarantine& quarantine, MetricsPage& page) {
  page.Counter("fleet_quarantine_kept_total", "Refused messages kept to be looked at.",
               static_cast<double>(quarantine.counters().kept));
  page.Counter("fleet_quarantine_skipped_total", "Refused messages not kept: too many in that second.",
               static_cast<double>(quarantine.counters().skipped));
}

void AddCommands(const Commands& commands, MetricsPage& page) {
  page.Counter("fleet_commands_submitted_total", "Commands taken.", static_cast<double>(commands.counters().submitted));
  page.Counter("fleet_commands_resent_total", "Commands sent again to ask what became of them.",
               static_cast<double>(commands.counters().resent));
  page.Counter("fleet_commands_given_up_total", "Unknown commands that nobody asks about any more.",
               static_cast<double>(commands.counters().given_up));
  page.Gauge("fleet_commands_open", "Commands on their way or running.", static_cast<double>(commands.open_count()));
  page.Gauge("fleet_commands_unknown", "Commands that are asked about.", static_cast<double>(commands.unknown_count()));
  for (int state = v1::COMMAND_STATE_DONE; state < v1::CommandState_ARRAYSIZE; ++state) {
    const auto found = commands.counters().ended.find(state);
    const uint64_t count = found == commands.counters().ended.end() ? 0 : found->second;
    page.Counter("fleet_commands_ended_total", "Commands by end state.", static_cast<double>(count),
                 {{"state", std::string(Name(static_cast<v1::CommandState>(state)))}});
  }
  page.Counter("fleet_command_updates_ignored_total", "Updates of unknown commands, or that repeat a step.",
               static_cast<double>(commands.counters().ignored_updates));
}

void AddTaps(const MetricsSources& s, MetricsPage& page) {
  page.Gauge("fleet_taps_open", "Taps of CAN buses that may run.", static_cast<double>(s.open_taps));
  page.Counter("fleet_tap_frames_delivered_total", "Frames given to those who read taps.",
               static_cast<double>(s.taps.delivered));
  page.Counter("fleet_tap_frames_skipped_total", "Frames that readers of taps were too slow for.",
               static_cast<double>(s.taps.skipped));
  page.Counter("fleet_tap_batches_lost_total", "Batches of taps lost between device and server.",
               static_cast<double>(s.taps.lost));
  page.Counter("fleet_tap_batches_dropped_total", "Those of them dropped because the loop was too slow.",
               static_cast<double>(s.inbound_dropped_of_taps));
  page.Counter("fleet_tap_batches_stray_total", "Batches of no open tap, or late.", static_cast<double>(s.taps.stray));
}

void AddShell(const MetricsSources& s, MetricsPage& page) {
  page.Gauge("fleet_store_works", "1 while the last write succeeded.", s.store.error.empty() ? 1 : 0);
  page.Counter("fleet_store_rows_total", "Rows on the disk.", static_cast<double>(s.store.committed_rows));
  page.Counter("fleet_store_dropped_rows_total", "Rows given up because the store failed too long.",
               static_cast<double>(s.store.dropped_rows));
  page.Counter("fleet_store_failed_writes_total", "Writes that failed and were tried again.",
               static_cast<double>(s.store.failed_writes));
  page.Counter("fleet_store_nameless_samples_total", "Samples stored without a name: too many signals.",
               static_cast<double>(s.store.counters.nameless_samples));
  page.Counter("fleet_store_dtcs_refused_total", "Changes of trouble codes not kept: too many codes.",
               static_cast<double>(s.store.counters.dtcs_refused));
  page.Gauge("fleet_store_waiting_bytes", "Rows waiting to be written.", static_cast<double>(s.store.waiting_bytes));
  page.Counter("fleet_publish_refused_total", "Live publications dropped: link down or full.",
               static_cast<double>(s.publish_refused));
  page.Gauge("fleet_stream_readers", "Open live streams.", static_cast<double>(s.watchers));
}

}  // namespace

std::string MetricsText(const MetricsSources& sources) {
  MetricsPage page;
  AddIngest(sources, page);
  AddFleet(sources.state, page);
  AddCommands(sources.state.commands(), page);
  AddStreams(sources.state.streams(), page);
  AddQuarantine(sources.quarantine, page);
  AddTaps(sources, page);
  AddShell(sources, page);
  return page.Text();
}

}  // namespace fleet::server
