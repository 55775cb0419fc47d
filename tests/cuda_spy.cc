// A library with the CUDA library's C ABI that tells of its calls, computes nothing, and is whatever it is
// compiled to be (tests/test_cuda_library.py): VERSION, CODE and DEVICES of the device count, FORWARD, or
// INCOMPLETE.
#include <cstdio>
#include <cstdlib>
#include "onebyone_cuda.h"
#define ABI extern "C" __attribute__((visibility("default")))
#ifndef VERSION
#define VERSION OB_CUDA_ABI_VERSION
#endif
#ifndef CODE
#define CODE OB_CUDA_OK
#endif
#ifndef FORWARD
#define FORWARD OB_CUDA_OK
#endif
static void say(const char* what, int32_t device, void* a, void* b = nullptr) {
  std::printf("%s device=%d %ld %ld\n", what, device, (long)a, (long)b);
  std::fflush(stdout);
}
ABI int32_t onebyone_cuda_abi_version(void) { return VERSION; }
ABI int32_t onebyone_cuda_device_count(int32_t* count) {
  *count = DEVICES;
  return CODE;
}
ABI const char* onebyone_cuda_last_error(void) { return "the library's words"; }
#ifndef INCOMPLETE
ABI int32_t onebyone_cuda_conv2d_workspace(const onebyone_cuda_conv2d_desc*, int32_t, size_t* bytes) {
  *bytes = 64;
  return OB_CUDA_OK;
}
ABI int32_t onebyone_cuda_conv2d_forward(const onebyone_cuda_conv2d_desc* d,
                                         const onebyone_cuda_conv2d_pointers* p, int32_t device,
                                         void* stream) {
  say("forward", device, stream, p->workspace ? (void*)1 : nullptr);
  std::printf(
      "desc size=%d dtype=%d layout=%d algorithm=%d tf32=%d activation=%d a=%g b=%g x=%ldx%ldx%ldx%ld "
      "y=%ldx%ldx%ld k=%ldx%ld s=%ld,%ld d=%ld,%ld p=%ld,%ld g=%ld\n",
      d->struct_size == sizeof *d, d->dtype, d->layout, d->algorithm, d->allow_tf32, d->activation, d->a,
      d->b, d->batch, d->ic, d->ih, d->iw, d->oc, d->oh, d->ow, d->kh, d->kw, d->stride_h, d->stride_w,
      d->dilation_h, d->dilation_w, d->pad_top, d->pad_left, d->groups);
  return FORWARD;
}
ABI int32_t onebyone_cuda_conv2d_describe(const onebyone_cuda_conv2d_desc*, int32_t, char* text,
                                          size_t size) {
  std::snprintf(text, size, "spy tile=1");
  return OB_CUDA_OK;
}
ABI int32_t onebyone_cuda_malloc(size_t bytes, int32_t device, void* stream, void** pointer) {
  say("malloc", device, stream);
  *pointer = std::calloc(1, bytes);
  return OB_CUDA_OK;
}
ABI int32_t onebyone_cuda_free(void* pointer, int32_t device, void* stream) {
  say("free", device, stream);
  std::free(pointer);
  return OB_CUDA_OK;
}
ABI int32_t onebyone_cuda_wait(int32_t device, void* stream, void* other) {
  say("wait", device, stream, other);
  return OB_CUDA_OK;
}
ABI int32_t onebyone_cuda_pointer_device(const void*, int32_t* device) {
  *device = 1;
  return OB_CUDA_OK;
}
#endif
