// A Modbus TCP server that costs next to nothing, for benchmarks of who asks it: holding register A holds A.
//
//   modbus_server      prints `ready PORT`; ends with its standard input
//
// pymodbus needs most of a millisecond for an answer, which would hide what is measured.
#include <modbus/modbus.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace fleet {
namespace {

constexpr int kBacklog = 16;
constexpr int kRegisters = 65536;

int PortOf(int socket) {
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

// False: the client has gone.
bool Answer(modbus_t* context, modbus_mapping_t* registers, int socket) {
  std::array<uint8_t, MODBUS_TCP_MAX_ADU_LENGTH> query;
  modbus_set_socket(context, socket);
  const int length = modbus_receive(context, query.data());
  if (length > 0) modbus_reply(context, query.data(), length, registers);
  return length >= 0;
}

void Serve(modbus_t* context, modbus_mapping_t* registers, int listener) {
  std::vector<pollfd> fds = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                             {.fd = listener, .events = POLLIN, .revents = 0}};
  while (poll(fds.data(), fds.size(), -1) > 0 && fds[0].revents == 0) {
    for (size_t i = fds.size() - 1; i > 1; --i) {
      if (fds[i].revents == 0 || Answer(context, registers, fds[i].fd)) continue;
      close(fds[i].fd);
      fds.erase(fds.begin() + static_cast<ptrdiff_t>(i));
    }
    if (fds[1].revents == 0) continue;
    fds.push_back({.fd = accept(listener, nullptr, nullptr), .events = POLLIN, .revents = 0});
  }
}

}  // namespace
}  // namespace fleet

int main() {
  modbus_t* context = modbus_new_tcp("127.0.0.1", 0);
  modbus_mapping_t* registers = modbus_mapping_new(0, 0, fleet::kRegisters, 0);
  for (int address = 0; address < fleet::kRegisters; ++address) {
    registers->tab_registers[address] = static_cast<uint16_t>(address);
  }
  const int listener = modbus_tcp_listen(context, fleet::kBacklog);
  if (listener < 0) return 1;
  std::printf("ready %d\n", fleet::PortOf(listener));
  std::fflush(stdout);
  fleet::Serve(context, registers, listener);
  close(listener);
  modbus_mapping_free(registers);
  modbus_free(context);
}
