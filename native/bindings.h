// bindings.h: what the files that bind native functions to Python share: array types and their checks, results from the
// buffer pool, the kernels of the instruction set in use.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <any>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels.h"
#include "optimizer.h"
#include "plan.h"
#include "threads.h"

namespace unrolled {

namespace nb = nanobind;
using namespace nb::literals;

void bind_recurrent(nb::module_ &m);
void bind_layers(nb::module_ &m);
void bind_optimizers(nb::module_ &m);

// ---- instruction sets ----

struct Level {
  const char *name;
  bool (*runs_here)();
  const Kernels<float> *f;
  const Kernels<double> *d;
  const Optimizers<float> *optimizers_f;
  const Optimizers<double> *optimizers_d;
};

extern const Level *level;  // the one in use

template <class T> const Kernels<T> &kernels();
template <> inline const Kernels<float> &kernels<float>() { return *level->f; }
template <> inline const Kernels<double> &kernels<double>() { return *level->d; }
template <class T> const Optimizers<T> &optimizers();
template <> inline const Optimizers<float> &optimizers<float>() { return *level->optimizers_f; }
template <> inline const Optimizers<double> &optimizers<double>() { return *level->optimizers_d; }

// ---- cells ----

struct CellInfo {
  const char *name;
  int gates, slots, states, biases;
};
inline constexpr CellInfo cells[] = {
#define CELL(name, type, gates, slots, states, biases) {#name, gates, slots, states, biases},
#include "cells.def"
#undef CELL
};
constexpr int cell_count = sizeof(cells) / sizeof(cells[0]);

inline const CellInfo &cell_info(int cell) {
  if (cell < 0 || cell >= cell_count) throw nb::value_error("no such cell");
  return cells[cell];
}
inline Activation activation_of(int number) {
  if (number < 0 || number > int(Activation::softsign)) throw nb::value_error("no such activation");
  return Activation(number);
}

// ---- arrays ----

template <class T> using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::device::cpu>;  // rows may be strided
template <class T> using Packed = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const int32_t, nb::c_contig, nb::device::cpu>;
template <class T> using Maybe = std::optional<Packed<T>>;
using Mask = std::optional<nb::ndarray<const bool, nb::c_contig, nb::device::cpu>>;

inline void require(bool ok, const char *what) {
  if (!ok) throw nb::value_error(what);
}

// Whether 0 <= index < bound for all n; without a branch in the loop, for there are many.
inline bool all_below(const int32_t *index, size_t n, size_t bound) {
  uint32_t signs = 0;  // of i and of bound - 1 - i: any compiler makes vectors of it
  for (size_t i = 0; i < n; i++) signs |= uint32_t(index[i]) | (uint32_t(bound) - 1 - uint32_t(index[i]));
  return (signs >> 31) == 0;
}

// Entries that live as long as their owner, and arrays for Python over them: (length,), or (rows, columns) with rows `apart`
// entries from each other. T: int32_t, float, double.
template <class T> struct Owned {
  T *data;
  nb::capsule owner;
};
template <class T> nb::object numpy_array(const Owned<T> &from, size_t length);
template <class T> nb::object numpy_array(const Owned<T> &from, size_t rows, size_t columns, size_t apart);
void import_numpy();

// Work that goes on after a native call, with all that it reads and writes. Python must finish it before it reads results.
class Later {
  std::unique_ptr<Work> work;
  std::any kept;

 public:
  // Not started yet; work: owned from now on, or null: none.
  Later(Work *work, std::any kept) : work(work), kept(std::move(kept)) {}
  Later(Later &&) = default;
  ~Later() {
    if (work) unrolled::finish();
  }
  explicit operator bool() const { return work != nullptr; }
  void start() { unrolled::start(*work); }
  // While it waits another Python thread may come, and be first at what follows.
  void finish() {
    if (!work) return;
    {
      nb::gil_scoped_release release;
      unrolled::finish();
    }
    if (!work) return;
    const bool failed = work->failed;
    if (!failed) work->end();
    work.reset(), kept.reset();
    if (failed) throw std::bad_alloc();
  }
  nb::object give() { return work ? nb::cast(std::move(*this)) : nb::none(); }
};

// A new array of T from the buffer pool; rows x columns.
template <class T> struct New {
  T *data = nullptr;
  size_t rows, columns;
  New(size_t rows, size_t columns) : rows(rows), columns(columns) {
    size_t count = 0;
    if (__builtin_mul_overflow(rows, columns, &count) || count > PTRDIFF_MAX) throw std::bad_alloc();
    data = static_cast<T *>(take_buffer(count + 64, sizeof(T)));
  }
  New(const New &) = delete;
  ~New() { give_buffer(data); }  // null once given to Python
  // Moves the first `shown` columns of all rows together.
  void close_up(size_t shown) {
    for (size_t r = 1; r < rows && shown < columns; r++) std::memmove(data + r * shown, data + r * columns, shown * sizeof(T));
    columns = shown;
  }
  // The array as Python sees it: the first `shown` columns of every row.
  nb::object give(size_t shown_rows, size_t shown) {
    return numpy_array(hand_over(), shown_rows, shown, columns);
  }
  nb::object give() { return give(rows, columns); }
  nb::object give_flat() { return numpy_array(hand_over(), rows * columns); }

 private:
  Owned<T> hand_over() {
    nb::capsule owner(data, [](void *p) noexcept { give_buffer(p); });
    return {std::exchange(data, nullptr), owner};
  }
};

inline Owned<int32_t> kept(std::vector<int32_t> values) {
  auto *all = new std::vector<int32_t>(std::move(values));
  return {all->data(), nb::capsule(all, [](void *p) noexcept { delete static_cast<std::vector<int32_t> *>(p); })};
}
inline nb::object array_of(std::vector<int32_t> values) {
  const size_t length = values.size();
  return numpy_array(kept(std::move(values)), length);
}

template <class T> const T *data_or_null(const Maybe<T> &array) { return array ? array->data() : nullptr; }
template <class T> void check_shape(const Maybe<T> &array, size_t rows, size_t columns, const char *what) {
  if (array) require(array->ndim() == 2 && array->shape(0) == rows && array->shape(1) == columns, what);
}

// Kernels count in int: what they count stays this far below 2^31, so that rounding up to vectors and chunks fits too.
constexpr size_t most = (size_t(1) << 31) - (1 << 16);

// Rows may stand apart, or be one row repeated (stride 0), but their entries follow each other and rows go forward.
template <class T> bool rows_contiguous(const Matrix<T> &array) {
  return (array.stride(1) == 1 || array.shape(1) <= 1) && (array.stride(0) >= 0 || array.shape(0) <= 1) &&
         array.shape(0) < most && array.shape(1) < most;
}

// Of views into raw bytes numbers may straddle addresses; compiled loops count on theirs being aligned.
template <class A> bool aligned(const A &array) {
  return reinterpret_cast<uintptr_t>(array.data()) % sizeof(*array.data()) == 0;
}
template <class A> bool aligned(const std::optional<A> &array) { return !array || aligned(*array); }
template <class... A> void require_aligned(const A &...arrays) {
  require((aligned(arrays) && ...), "arrays must be aligned: copy them first");
}

// A mask of the steps of index (B, T) as bytes, or null.
inline const uint8_t *check_mask(const Mask &mask, const Ids &index) {
  if (!mask) return nullptr;
  require(mask->ndim() == 2 && mask->shape(0) == index.shape(0) && mask->shape(1) == index.shape(1), "mask (B, T)");
  return reinterpret_cast<const uint8_t *>(mask->data());
}

// How many rows of a table are meant: those of `rows`, which must lie in it, or all.
template <class T> size_t count_rows(const Matrix<T> &table, const std::optional<Ids> &rows) {
  if (!rows) return table.shape(0);
  require(rows->size() < most, "rows (n,)");
  if (!all_below(rows->data(), rows->size(), table.shape(0))) throw nb::index_error("rows outside the table");
  return rows->size();
}

// A layer's H from its recurrent kernel.
template <class T> int units_of(const Packed<T> &recurrent_kernel, const CellInfo &info) {
  require(recurrent_kernel.ndim() == 2 && recurrent_kernel.shape(0) > 0 && recurrent_kernel.shape(0) < most / 64 &&
          recurrent_kernel.shape(1) == recurrent_kernel.shape(0) * info.gates, "recurrent_kernel (H, G*H)");
  return int(recurrent_kernel.shape(0));
}

inline int padded(int H, int lanes) { return (H + lanes - 1) / lanes * lanes; }

}  // namespace unrolled
