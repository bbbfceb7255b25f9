#include <string>

// After the standard headers: it uses some that it does not include.
#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "tools/fleetctl/words.h"

namespace fleet {
namespace {

constexpr char kVerbFooter[] =
    "Every verb takes --server URL, --output table|json and --config FILE too: fleetctl --help";
constexpr char kCsvFooter[] =
    "Every verb takes --server URL and --config FILE too, this one --output table|json|csv: fleetctl --help";

// A verb with lines of examples below its options.
CLI::App* Add(CLI::App& app, const char* name, const char* what, const std::string& examples = "") {
  CLI::App* verb = app.add_subcommand(name, what);
  return verb->footer(examples.empty() ? kVerbFooter : absl::StrCat("Examples:\n", examples, kVerbFooter));
}

void AddWait(CLI::App* verb, Words& words) {
  verb->add_flag("--wait", words.wait, "Show each step and wait for the end; exit code 0 only when done");
}

void AddLimit(CLI::App* verb, Words& words) {
  verb->add_option("--limit", words.limit, "How many at most [20]")->type_name("N");
}

CLI::Option* AddDevice(CLI::App* verb, Words& words, const char* what) {
  return verb->add_option("DEVICE", words.device, what)->type_name("");
}

void AddMotion(CLI::App* verb, Words& words) {
  verb->add_option("--from", words.from, "Start, X,Y in mm")->type_name("X,Y")->required();
  verb->add_option("--to", words.to, "End, X,Y in mm; not needed to hold")->type_name("X,Y");
  verb->add_option("--v0", words.v0, "Speed at the start in mm/s; not needed to hold")->type_name("N");
  verb->add_option("--v1", words.v1, "Speed at the end in mm/s; not needed to hold")->type_name("N");
  verb->add_option("--type", words.type, "line, arc_left, arc_right or hold")->type_name("TYPE")->capture_default_str();
  verb->add_option("--ttl", words.ttl, "Time to live: not begun by then, it never runs")
      ->type_name("DURATION")
      ->capture_default_str();
  verb->add_option("--mode", words.mode, "replace what runs and waits for the entity, or append behind it")
      ->type_name("MODE")
      ->capture_default_str();
  verb->add_flag("--queue", words.queue, "Let it wait for an offline device, within its time to live");
}

void AddSegment(CLI::App& app, Words& words) {
  CLI::App* verb = Add(app, "segment", "Send an entity a piece of motion, of one device or of many",
                       "  fleetctl segment pi-1 2 --from -100,20 --to 900,20 --v0 500 --v1 300 --wait\n"
                       "  fleetctl segment pi-1 2 --from 900,20 --to 900,0 --v0 300 --v1 0 --mode append\n"
                       "  fleetctl segment --online 2 --type hold --from 0,0 --ttl 1m --at-once 50\n"
                       "  fleetctl segment --devices pi-1,pi-2 2 --from 0,0 --to 500,0 --v0 200 --v1 200\n");
  AddDevice(verb, words, "Device id; leave it out with --all, --online or --devices");
  verb->add_option("ENTITY", words.entity, "Entity id within the device")->type_name("");
  AddMotion(verb, words);
  AddWait(verb, words);
  verb->add_flag("--all", words.all, "To every known device; waits for all")->group("Many devices");
  verb->add_flag("--online", words.online, "To every device that is online now")->group("Many devices");
  verb->add_option("--devices", words.devices, "To these, with commas between")
      ->type_name("ID,ID,...")
      ->group("Many devices");
  verb->add_option("--at-once", words.at_once, "How many may be under way at once, 1 to 200 [10]")
      ->type_name("N")
      ->group("Many devices");
}

void AddCommands(CLI::App& app, Words& words) {
  CLI::App* commands = Add(app, "commands", "List commands, newest first");
  commands->add_option("--device", words.device, "Only those of this device")->type_name("ID");
  AddLimit(commands, words);
  CLI::App* command = Add(app, "command", "Show one command with each of its steps, or ask what became of it",
                          "  fleetctl command 17 --wait\n"
                          "  fleetctl command reconcile 17\n");
  command->add_option("ID", words.command, "Command id")->type_name("");
  AddWait(command, words);
  CLI::App* reconcile = Add(*command, "reconcile", "Ask the device now what became of it, and wait up to 5 s");
  reconcile->add_option("ID", words.reconcile, "Command id")->type_name("")->required();
}

void AddCancels(CLI::App& app, Words& words) {
  CLI::App* cancel = Add(app, "cancel", "Take back one command, or all of a device or of an entity",
                         "  fleetctl cancel 17\n"
                         "  fleetctl cancel --device pi-1 --entity 2 --wait\n");
  cancel->add_option("ID", words.command, "Command id")->type_name("");
  cancel->add_option("--device", words.device, "Everything that this device has")->type_name("ID");
  cancel->add_option("--entity", words.entity, "With --device: only what this entity has")->type_name("N");
  AddWait(cancel, words);
  CLI::App* stop = Add(app, "stop", "Stop a device, or all, at once, and say who did",
                       "  fleetctl stop pi-1\n"
                       "  fleetctl stop --all\n");
  AddDevice(stop, words, "Device id");
  stop->add_flag("--all", words.all, "Every device that is not offline");
}

void AddFleet(CLI::App& app, Words& words) {
  CLI::App* status = Add(app, "status", "Show the fleet at a glance");
  status->add_flag("--watch", words.watch, "Redraw once a second until Ctrl-C");
  Add(app, "devices", "List devices with their entities and losses");
  Add(app, "device", "Show one device")->add_option("ID", words.device, "Device id")->type_name("")->required();
  AddDevice(Add(app, "watch", "Print what happens as it happens, until Ctrl-C"), words, "Only this device");
}

void AddPast(CLI::App& app, Words& words) {
  CLI::App* history = Add(app, "history", "List where an entity was, or when a device was online",
                          "  fleetctl history pi-1 2 --since 1h\n"
                          "  fleetctl history pi-1 --liveness --limit 50\n");
  AddDevice(history, words, "Device id")->required();
  history->add_option("ENTITY", words.entity, "Entity id within the device")->type_name("");
  history->add_flag("--liveness", words.liveness, "When the device was online, newest first; without ENTITY");
  history->add_option("--since", words.since, "How far back [10m; with --liveness no bound]")->type_name("DURATION");
  history->add_option("--limit", words.limit, "With --liveness: how many at most [20]")->type_name("N");
  CLI::App* events = Add(app, "events", "List what devices reported, newest first");
  AddDevice(events, words, "Only of this device");
  AddLimit(events, words);
}

void AddAccounts(CLI::App& app, Words& words) {
  AddDevice(Add(app, "ledger", "Show what became of all that devices sent; exit code 1 when it does not balance"),
            words, "Only of this device");
  CLI::App* quarantine = Add(app, "quarantine", "List messages that could not be understood, newest first");
  AddLimit(quarantine, words);
  quarantine->add_flag("--raw", words.raw, "All bytes that were kept, also of what can be decoded");
}

void AddTelemetry(CLI::App& app, Words& words) {
  CLI::App* telemetry = Add(app, "telemetry", "Show the signals of a device: the newest values, or what they were");
  telemetry->footer(absl::StrCat("Examples:\n",
                                 "  fleetctl telemetry van-7\n"
                                 "  fleetctl telemetry van-7 engine/rpm --since 10m --follow\n"
                                 "  fleetctl telemetry van-7 --since 24h --output csv > day.csv\n",
                                 kCsvFooter));
  AddDevice(telemetry, words, "Device id")->required();
  telemetry->add_option("SIGNAL", words.signals, "Only these, such as engine/rpm")->type_name("");
  telemetry->add_option("--since", words.since, "All values from so far back")->type_name("DURATION");
  telemetry->add_flag("--follow", words.follow, "Go on with values as they are stored, until Ctrl-C");
}

void AddBus(CLI::App* verb, Words& words, std::string& device) {
  verb->add_option("DEVICE", device, "Device id")->type_name("")->required();
  verb->add_option("BUS", words.bus, "Name of the bus in the device's configuration")->type_name("")->required();
}

void AddDtc(CLI::App& app, Words& words) {
  CLI::App* dtc = Add(app, "dtc", "List trouble codes that are set, newest first, or clear them");
  dtc->footer(absl::StrCat("Examples:\n",
                           "  fleetctl dtc van-7 --all\n"
                           "  fleetctl dtc clear van-7 can0\n",
                           kCsvFooter));
  AddDevice(dtc, words, "Only of this device");
  dtc->add_flag("--all", words.all, "Those too that are not set any more");
  AddBus(Add(*dtc, "clear", "Ask the controllers on a bus to clear their trouble codes, and wait for the end"), words,
         words.clear_device);
}

void AddTap(CLI::App* verb, Words& words, const char* how_long) {
  verb->add_option("--filter", words.filters, "Only frames of this id under this mask, in hex; may be said again")
      ->type_name("ID[:MASK]")
      ->allow_extra_args(false);
  verb->add_option("--for", words.for_time, how_long)->type_name("DURATION");
}

void AddCan(CLI::App& app, Words& words) {
  CLI::App* can = Add(app, "can", "Frames of a CAN bus in a vehicle: dump, send, bridge");
  can->require_subcommand(1);
  CLI::App* dump = Add(*can, "dump", "Print the frames of a bus as candump does, until Ctrl-C",
                       "  fleetctl can dump van-7 can0 --filter 7E8:7F8 --for 10m\n"
                       "  fleetctl can dump van-7 can0 --log > drive.log\n");
  AddBus(dump, words, words.device);
  AddTap(dump, words, "How long [1m]");
  dump->add_flag("--log", words.log, "Lines with times, as candump -L; canplayer reads them");
  CLI::App* send = Add(*can, "send", "Put frames on a bus, all or none, and wait for the end",
                       "  fleetctl can send van-7 can0 7DF#02010C\n"
                       "  fleetctl can send van-7 can0 123#11.22 18FEF100#R 124##1AABBCC\n");
  AddBus(send, words, words.device);
  send->add_option("FRAME", words.frames, "ID#DATA as cansend takes it, at most 64")->type_name("")->required();
  CLI::App* bridge = Add(*can, "bridge", "Join a bus with one of this machine, both ways, until Ctrl-C",
                         "  fleetctl can bridge van-7 can0 --to vcan0\n"
                         "  fleetctl can bridge van-7 can0 --to slcan-pty:/tmp/van-7\n");
  AddBus(bridge, words, words.device);
  bridge->add_option("--to", words.to, "vcan0, or slcan-pty[:LINK] for programs that speak slcan")
      ->type_name("BUS")
      ->required();
  AddTap(bridge, words, "How long [10m]");
}

void AddModbusCall(CLI::App* verb, Words& words, const char* functions) {
  AddDevice(verb, words, "Device id")->required();
  verb->add_option("UNIT", words.unit, "Id of the unit in the device's configuration")->type_name("")->required();
  verb->add_option("ADDRESS", words.address, "Of the first register or bit, from 0, decimal or 0x and hex")
      ->type_name("")
      ->required();
  verb->add_option("--fc", words.function, functions)->type_name("N");
  verb->add_option("--type", words.register_type, "U16, I16, U32, I32, U64, I64, F32 or STR; coils have none")
      ->type_name("TYPE")
      ->capture_default_str();
  verb->add_option("--order", words.order, "Order of the registers of a value, big or little")
      ->type_name("ORDER")
      ->capture_default_str();
  verb->add_option("--scale", words.scale, "A value is what the registers hold times this [1]")->type_name("N");
  verb->add_option("--ttl", words.ttl, "Time to live: not begun by then, it never is done")
      ->type_name("DURATION")
      ->capture_default_str();
}

void AddModbus(CLI::App& app, Words& words) {
  CLI::App* modbus = Add(app, "modbus", "Registers and coils of Modbus units behind a device: read, write");
  modbus->require_subcommand(1);
  CLI::App* read = Add(*modbus, "read", "Read values and print them, a line for each",
                       "  fleetctl modbus read van-7 meter 10056\n"
                       "  fleetctl modbus read van-7 meter 0x10 --type F32 --size 4 --order little\n"
                       "  fleetctl modbus read van-7 pump 0 --fc 1 --size 8\n");
  AddModbusCall(read, words, "1 coils, 2 discrete inputs, 3 holding registers, 4 input registers [3]");
  read->add_option("--size", words.size, "How many registers or bits [those of one value]")->type_name("N");
  CLI::App* write = Add(*modbus, "write", "Write values, all or none, and wait for the end",
                        "  fleetctl modbus write van-7 meter 33207 170\n"
                        "  fleetctl modbus write van-7 meter 100 -1.5 2.25 --type F32\n"
                        "  fleetctl modbus write van-7 pump 0 true --fc 5\n");
  AddModbusCall(write, words, "5 one coil, 6 one register, 15 coils, 16 registers [6 for one U16 or I16, else 16]");
  write->add_option("VALUE", words.values, "Numbers; 0, 1, true or false of coils; one text with --type STR")
      ->type_name("")
      ->required();
}

}  // namespace

void AddVerbs(CLI::App& app, Words& words) {
  AddFleet(app, words);
  AddSegment(app, words);
  AddCommands(app, words);
  AddCancels(app, words);
  AddPast(app, words);
  AddAccounts(app, words);
  AddTelemetry(app, words);
  AddDtc(app, words);
  AddCan(app, words);
  AddModbus(app, words);
  Add(app, "completion", "Print a script that completes fleetctl's words", "  source <(fleetctl completion bash)\n")
      ->add_option("SHELL", words.shell, "bash")
      ->type_name("")
      ->required();
  app.add_subcommand("__devices")->group("");
}

}  // namespace fleet
