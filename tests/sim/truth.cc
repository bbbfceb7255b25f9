#include "tests/sim/truth.h"

namespace fleet {

void StreamTruth::StartLife(uint32_t epoch) {
  if (epoch == epoch_ || epoch_ == 0) return;
  epoch_ = epoch;
  first_ = 1;
  highest_ = 0;
  arrived_.clear();
}

bool StreamTruth::Arrive(uint32_t epoch, uint32_t seq) {
  if (epoch < epoch_) return false;
  if (epoch_ == 0) {
    epoch_ = epoch;
    first_ = seq;
    highest_ = seq - 1;
  }
  StartLife(epoch);
  if (seq < first_ || !arrived_.insert(seq).second) return false;
  ++stored_;
  if (seq <= highest_) return false;
  expected_ += seq - highest_;
  highest_ = seq;
  return true;
}

}  // namespace fleet
