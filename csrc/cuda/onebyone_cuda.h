/* csrc/cuda/onebyone_cuda.h - the C ABI between the core and libonebyone_cuda, the optional shared library
   with the GPU's kernels. Plain C, no CUDA header: the core reads it too, and loads the library with dlopen.

   Every function returns OB_CUDA_OK or a code below; onebyone_cuda_last_error() then has the sentence for
   people, valid until the calling thread's next call. No call waits for the device; work is put on the
   caller's stream. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OB_CUDA_ABI_VERSION 1

enum {
  OB_CUDA_OK = 0,
  OB_CUDA_NO_DRIVER = 1,    /* no CUDA driver on this machine */
  OB_CUDA_OLD_DRIVER = 2,   /* the driver is older than the library's runtime */
  OB_CUDA_NO_DEVICE = 3,    /* a driver, but no GPU */
  OB_CUDA_NO_CODE = 4,      /* a GPU that no embedded code runs on */
  OB_CUDA_BAD_ARGUMENT = 5, /* the description contradicts itself or asks for what no kernel serves */
  OB_CUDA_FAILED = 6        /* the runtime refused a call (its own words are in the message) */
};

enum { OB_CUDA_FLOAT32 = 0, OB_CUDA_FLOAT16 = 1, OB_CUDA_BFLOAT16 = 2 };
enum { OB_CUDA_NCHW = 0, OB_CUDA_NHWC = 1 };
enum { OB_CUDA_AUTO = 0, OB_CUDA_DIRECT = 1, OB_CUDA_TENSOR_CORES = 2, OB_CUDA_DEPTHWISE = 3 };

/* One convolution, everything resolved. Arrays are dense in `layout`; the weights are (oc, ic/groups, kh,
   kw), always, as users have them. All arrays share `dtype`; sums are made in float32. `activation` has the
   values of ActivationKind in cpu/kernels/kernel_table.h, `a` and `b` its two constants. */
typedef struct {
  uint32_t struct_size; /* sizeof(onebyone_cuda_conv2d_desc) of the caller */
  int32_t dtype, layout, algorithm;
  int32_t allow_tf32; /* float32 products may be rounded to TF32's 10 bits */
  int32_t activation;
  double a, b;
  int64_t batch, ic, ih, iw;
  int64_t oc, oh, ow;
  int64_t kh, kw;
  int64_t stride_h, stride_w, dilation_h, dilation_w;
  int64_t pad_top, pad_left; /* what lies below and to the right follows from oh and ow */
  int64_t groups;
} onebyone_cuda_conv2d_desc;

/* Device addresses; bias and residual may be null. `workspace` has as many bytes as
   onebyone_cuda_conv2d_workspace says (null where that is 0). No output may overlap an input. */
typedef struct {
  const void* x;
  const void* weight;
  const void* bias;
  const void* residual;
  void* y;
  void* workspace;
} onebyone_cuda_conv2d_pointers;

int32_t onebyone_cuda_abi_version(void);
/* How many devices can be used, or the code that says why none can. */
int32_t onebyone_cuda_device_count(int32_t* count);
int32_t onebyone_cuda_conv2d_workspace(const onebyone_cuda_conv2d_desc* desc, int32_t device, size_t* bytes);
/* `stream` is a cudaStream_t; null (or 1, cudaStreamLegacy) is the default stream, 2 (cudaStreamPerThread)
   the calling thread's. */
int32_t onebyone_cuda_conv2d_forward(const onebyone_cuda_conv2d_desc* desc,
                                     const onebyone_cuda_conv2d_pointers* pointers, int32_t device,
                                     void* stream);
/* Which kernel conv2d_forward would start, as text for repr(plan). */
int32_t onebyone_cuda_conv2d_describe(const onebyone_cuda_conv2d_desc* desc, int32_t device, char* text,
                                      size_t size);
/* Device memory in stream order, for arrays that have no library to allocate theirs. */
int32_t onebyone_cuda_malloc(size_t bytes, int32_t device, void* stream, void** pointer);
int32_t onebyone_cuda_free(void* pointer, int32_t device, void* stream);
/* What is put on `stream` from now on starts when all that is on `other` now is done (an event is recorded
   and waited for; the caller waits for nothing). Either may be null. For producers that name their stream in
   __cuda_array_interface__ and for consumers that name theirs to __dlpack__. */
int32_t onebyone_cuda_wait(int32_t device, void* stream, void* other);
/* The device on which an address lies: for __cuda_array_interface__, which does not tell. */
int32_t onebyone_cuda_pointer_device(const void* pointer, int32_t* device);
const char* onebyone_cuda_last_error(void);

#ifdef __cplusplus
}
#endif
