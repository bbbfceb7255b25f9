#include "device/metrics_page.h"

#include <array>
#include <functional>
#include <initializer_list>
#include <utility>

#include "common/metrics.h"
#include "device/can/can_hub_bus.h"

namespace fleet::device {
namespace {

using Kind = std::pair<const char*, uint64_t>;
using Kinds = std::vector<Kind>;

constexpr std::array<std::pair<v1::Stream, const char*>, 2> kStreams = {
    {{v1::STREAM_EVENT, "event"}, {v1::STREAM_TELEMETRY, "telemetry"}}};

// As in the topic, in the order of DeviceTopic.
constexpr std::array<const char*, kDeviceTopics> kTopics = {"heartbeat", "state",     "status", "command_ack",
                                                            "event",     "telemetry", "ledger"};

double Number(uint64_t count) {
  return static_cast<double>(count);
}

void AddKinds(const char* name, const char* help, const char* label, const Kinds& kinds, MetricsPage& page) {
  for (const auto& [kind, count] : kinds) page.Counter(name, help, Number(count), {{label, kind}});
}

void AddLink(const MetricsSources& s, MetricsPage& page) {
  const Agent& agent = s.agent;
  page.Gauge("fleet_device_uptime_seconds", "Time since the agent was started.", absl::ToDoubleSeconds(s.uptime));
  page.Gauge("fleet_device_broker_connected", "1 while the broker link is up.", agent.link_up() ? 1 : 0);
  page.Counter("fleet_device_broker_losses_total", "Times that the broker link was lost.",
               Number(agent.counters().link_losses));
  page.Gauge("fleet_device_fail_safe", "1 while the server is silent and entities follow the fail-safe policy.",
             agent.fail_safe() ? 1 : 0);
  page.Counter("fleet_device_published_total", "Messages published, of all topics.", Number(agent.messages()));
  Kinds made;
  for (size_t i = 0; i < kTopics.size(); ++i) made.emplace_back(kTopics[i], agent.made(static_cast<DeviceTopic>(i)));
  AddKinds("fleet_device_reports_total", "Messages published to the server, by topic.", "topic", made, page);
  page.Counter("fleet_device_publish_refused_total", "Publications that the link did not take.",
               Number(agent.counters().refused_publications));
  page.Gauge("fleet_device_inbox_waiting", "Messages that wait for the loop.", Number(s.inbox_waiting));
  page.Counter("fleet_device_inbox_dropped_total", "Messages dropped because the loop was too slow.",
               Number(s.inbox_dropped));
  AddKinds("fleet_device_input_refused_total", "Messages from the broker that were not understood, by kind.", "kind",
           {{"beat", agent.counters().bad_beats},
            {"receipt", agent.counters().bad_receipts + agent.outbox().counters().bad_receipts},
            {"topic", agent.counters().unknown_topics}},
           page);
}

void AddStreams(const MetricsSources& s, MetricsPage& page) {
  const Outbox& outbox = s.agent.outbox();
  const Outbox::Counters& counters = outbox.counters();
  const auto each = [&](const char* name, const char* help, const uint64_t(&counts)[3]) {
    for (const auto& [stream, word] : kStreams) page.Counter(name, help, Number(counts[stream]), {{"stream", word}});
  };
  each("fleet_device_stream_made_total", "Records numbered in this life.", counters.made);
  each("fleet_device_stream_receipted_total", "Records that the server has stored.", counters.receipted);
  for (const auto& [stream, word] : kStreams) {
    for (const auto& [reason, reason_word] : {std::pair{v1::DROP_REASON_SPOOL_FULL, "spool_full"},
                                              {v1::DROP_REASON_TOO_OLD, "too_old"},
                                              {v1::DROP_REASON_MEMORY_FULL, "memory_full"}}) {
      page.Counter("fleet_device_stream_dropped_total", "Records given up, by reason.",
                   Number(counters.dropped_by_reason[stream][reason]), {{"stream", word}, {"reason", reason_word}});
    }
  }
  for (const auto& [stream, word] : kStreams) {
    page.Gauge("fleet_device_stream_waiting", "Records that the server has not stored yet.",
               Number(outbox.waiting(stream)), {{"stream", word}});
  }
  page.Gauge("fleet_device_outbox_memory_bytes", "Batches in memory.", Number(outbox.memory_bytes()));
  page.Counter("fleet_device_backlog_batches_total", "Batches sent from the disk, or again.",
               Number(counters.backlog_batches));
  page.Counter("fleet_device_bad_samples_total", "Samples without a valid name, left out.",
               Number(counters.bad_samples));
  page.Gauge("fleet_device_spool_works", "1 while the disk takes what is given to it.", s.spool_works ? 1 : 0);
  page.Gauge("fleet_device_spool_bytes", "What waits for the server on the disk.",
             Number(outbox.spool_totals().payload_bytes));
  page.Counter("fleet_device_spool_batches_total", "Batches written to the disk.", Number(counters.spooled_batches));
}

void AddCommands(const Agent& agent, MetricsPage& page) {
  page.Counter("fleet_device_commands_passed_total", "Commands that may run.", Number(agent.gate().passed()));
  for (size_t i = 0; i < kRefusals; ++i) {
    const auto refusal = static_cast<Refusal>(i);
    page.Counter("fleet_device_commands_refused_total", "Commands that do not run, by reason.",
                 Number(agent.gate().refused(refusal)), {{"reason", std::string(Word(refusal))}});
  }
  page.Gauge("fleet_device_commands_remembered", "Commands that are known, ended or not.",
             Number(agent.memory().size()));
  page.Gauge("fleet_device_command_answers_waiting", "Steps of commands that wait for the link.",
             Number(agent.waiting_updates()));
  page.Counter("fleet_device_command_answers_dropped_total", "Steps given up because too many waited.",
               Number(agent.counters().dropped_updates));
  const SecurityCounts security = agent.security_counts();
  AddKinds("fleet_device_security_total", "Refused for reasons of security, by kind.", "kind",
           {{"auth_failures", security.auth_failures},
            {"timestamp_drift", security.timestamp_drift},
            {"policy_violations", security.policy_violations}},
           page);
}

Kinds ObdCounts(const ObdExchange::Counters& counters) {
  return {{"requests", counters.requests}, {"unanswered", counters.unanswered}, {"answers", counters.answers},
          {"misfits", counters.misfits},   {"refusals", counters.refusals},     {"transport", counters.transport},
          {"too_many", counters.too_many}};
}

Kinds J1939Counts(const J1939Reader& reader) {
  const J1939Transport::Counters& transport = reader.transport().counters();
  return {{"values", reader.counters().values},   {"short_frames", reader.counters().short_frames},
          {"bad_dm1", reader.counters().bad_dm1}, {"messages", transport.messages},
          {"malformed", transport.malformed},     {"sequence", transport.sequence},
          {"timeouts", transport.timeouts},       {"aborted", transport.aborted},
          {"no_place", transport.no_place}};
}

void AddCan(const CanHub& can, MetricsPage& page) {
  const auto each = [&](const auto& add) {
    for (size_t i = 0; i < can.size(); ++i) add(can.bus(i), MetricLabels{{"bus", can.bus(i).name()}});
  };
  using Count = std::function<uint64_t(const CanHubBus&)>;
  const auto counter = [&](const char* name, const char* help, const Count& count) {
    each([&](const CanHubBus& bus, const MetricLabels& labels) {
      page.Counter(name, help, Number(count(bus)), labels);
    });
  };
  const auto kinds = [&](const char* name, const char* help, const std::function<Kinds(const CanHubBus&)>& counts) {
    each([&](const CanHubBus& bus, MetricLabels labels) {
      for (const auto& [kind, count] : counts(bus)) {
        labels["kind"] = kind;
        page.Counter(name, help, Number(count), labels);
      }
    });
  };
  each([&](const CanHubBus& bus, const MetricLabels& labels) {
    page.Gauge("fleet_device_can_up", "1 while the bus is there.", bus.report().up ? 1 : 0, labels);
  });
  counter("fleet_device_can_frames_total", "Frames heard.", [](const CanHubBus& bus) { return bus.frames(); });
  counter("fleet_device_can_lost_total", "Frames that came and that the agent has not seen.",
          [](const CanHubBus& bus) { return bus.lost(); });
  counter("fleet_device_can_error_frames_total", "Error frames of the controller.",
          [](const CanHubBus& bus) { return bus.report().error_frames; });
  counter("fleet_device_can_malformed_total", "What came from the adapter and was no frame.",
          [](const CanHubBus& bus) { return bus.report().malformed; });
  counter("fleet_device_can_bus_off_total", "Times that the controller left the bus.",
          [](const CanHubBus& bus) { return bus.report().bus_off; });
  counter("fleet_device_can_policy_violations_total", "Frames, taps and clearings that are not allowed.",
          [](const CanHubBus& bus) { return bus.policy_violations(); });
  counter("fleet_device_can_short_frames_total", "Frames with less data than a signal of the DBC file needs.",
          [](const CanHubBus& bus) { return bus.decoder().short_frames(); });
  kinds("fleet_device_obd_total", "OBD-II requests and what came of them, by kind.",
        [](const CanHubBus& bus) { return bus.obd() != nullptr ? ObdCounts(bus.obd()->counters()) : Kinds(); });
  kinds("fleet_device_j1939_total", "J1939 values and messages, and what was wrong with them, by kind.",
        [](const CanHubBus& bus) { return bus.j1939() != nullptr ? J1939Counts(*bus.j1939()) : Kinds(); });
  kinds("fleet_device_canopen_total", "CANopen messages that were not understood or not told, by kind.",
        [](const CanHubBus& bus) -> Kinds {
          if (bus.canopen() == nullptr) return {};
          const CanOpenNodes::Counters& counters = bus.canopen()->counters();
          return {{"malformed", counters.malformed}, {"events_over", counters.events_over}};
        });
}

void AddModbus(const ModbusHub& modbus, MetricsPage& page) {
  const ModbusPlan& plan = modbus.plan();
  const auto each_bus = [&](const auto& add) {
    for (size_t i = 0; i < plan.buses.size(); ++i) add(modbus.bus(i), MetricLabels{{"bus", plan.buses[i].name}});
  };
  const auto each_unit = [&](const auto& add) {
    for (size_t i = 0; i < plan.units.size(); ++i) add(modbus.unit(i), MetricLabels{{"unit", plan.units[i].id}});
  };
  const ModbusHub::Counters& counters = modbus.counters();
  AddKinds("fleet_device_modbus_requests_total", "Requests in plain JSON, by kind.", "kind",
           {{"good", counters.requests - counters.bad_requests}, {"bad", counters.bad_requests}}, page);
  page.Counter("fleet_device_modbus_responses_total", "Answers to them.", Number(counters.responses));
  page.Counter("fleet_device_modbus_responses_dropped_total", "Answers given up while there was no link.",
               Number(counters.dropped_responses));
  AddKinds("fleet_device_modbus_polls_total", "Blocks of registers that were due, by what became of them.", "result",
           {{"read", counters.polls},
            {"failed", counters.failed_polls},
            {"late", counters.late_polls},
            {"skipped", counters.skipped_polls}},
           page);
  page.Counter("fleet_device_modbus_writes_total", "Writes done.", Number(counters.writes));
  page.Counter("fleet_device_modbus_policy_violations_total", "Writes that are not allowed.",
               Number(modbus.policy_violations()));
  each_bus([&](const ModbusHub::Bus& bus, const MetricLabels& labels) {
    page.Counter("fleet_device_modbus_transactions_total", "Transactions on a bus.", Number(bus.transactions), labels);
  });
  each_bus([&](const ModbusHub::Bus& bus, const MetricLabels& labels) {
    page.Counter("fleet_device_modbus_failures_total", "Transactions without an answer.", Number(bus.failures), labels);
  });
  each_bus([&](const ModbusHub::Bus& bus, const MetricLabels& labels) {
    page.Gauge("fleet_device_modbus_waiting", "Requests and polls that wait for the bus.", Number(bus.line.waiting()),
               labels);
  });
  each_unit([&](const ModbusHub::Unit& unit, const MetricLabels& labels) {
    page.Gauge("fleet_device_modbus_unit_set_aside", "1 while the unit is asked seldom because it does not answer.",
               unit.health.is_set_aside() ? 1 : 0, labels);
  });
  each_unit([&](const ModbusHub::Unit& unit, const MetricLabels& labels) {
    page.Counter("fleet_device_modbus_unit_failures_total", "Transactions that the unit did not answer.",
                 Number(unit.failures), labels);
  });
}

void AddApi(const MetricsSources& s, MetricsPage& page) {
  AddKinds("fleet_device_publish_requests_total", "Requests of POST /publish, by result.", "result",
           {{"taken", s.api.publish_taken}, {"refused", s.api.publish_refused}}, page);
  page.Counter("fleet_device_publish_fields_total", "Fields that programs on the device published.",
               Number(s.agent.local_signals().published()));
  page.Counter("fleet_device_publish_forgotten_total", "Values of theirs that a summary has no room for.",
               Number(s.agent.local_signals().forgotten()));
  page.Counter("fleet_device_summaries_total", "Summaries published.", Number(s.agent.summary().made()));
  page.Counter("fleet_device_summary_omitted_total", "Signals left out of summaries for want of room.",
               Number(s.agent.summary().omitted()));
  page.Counter("fleet_device_http_unauthorized_total", "Requests without the token.", Number(s.api.unauthorized));
}

}  // namespace

std::string MetricsText(const MetricsSources& sources) {
  MetricsPage page;
  AddLink(sources, page);
  AddStreams(sources, page);
  AddCommands(sources.agent, page);
  if (sources.agent.can() != nullptr) AddCan(*sources.agent.can(), page);
  if (sources.agent.modbus() != nullptr) AddModbus(*sources.agent.modbus(), page);
  AddApi(sources, page);
  return page.Text();
}

}  // namespace fleet::device
