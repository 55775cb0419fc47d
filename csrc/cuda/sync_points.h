// sync_points.h - every barrier and wait of the kernels has a name. On a GPU it means nothing; the tests
// leave out one at a time and expect that a result then differs (tests/cuda/mutation_test.cc).
#pragma once

namespace onebyone::cuda {

enum SyncPoint : int {
  kDirectTileStored,
  kDirectRowsStaged,
  kDirectRowsWritten,
  kTensorCopiesLanded,
  kTensorStageReady,
  kTensorStagesRead,
  kTensorRowsStaged,
  kTensorRowsWritten,
  kSyncPoints  // how many
};

}  // namespace onebyone::cuda
