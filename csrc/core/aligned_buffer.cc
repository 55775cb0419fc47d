#include "core/aligned_buffer.h"

namespace onebyone {

std::byte* thread_scratch(int64_t bytes) {
  thread_local AlignedBuffer<std::byte> scratch;
  if (scratch.size() < bytes) {
    scratch = AlignedBuffer<std::byte>();  // frees before it allocates
    scratch = AlignedBuffer<std::byte>(bytes);
  }
  return scratch.data();
}

}  // namespace onebyone
