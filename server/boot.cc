#include "server/boot.h"

#include <fstream>

namespace fleet::server {

int64_t ReadBootId(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  if (!std::getline(file, text) || text.empty()) return 0;
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return static_cast<int64_t>(hash >> 1);
}

}  // namespace fleet::server
