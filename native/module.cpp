// module.cpp: the only binding file. Checks shapes and dtypes, allocates results, releases the GIL, calls the kernels.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "kernels.h"
#include "losses.h"
#include "optimizer.h"
#include "plan.h"
#include "threads.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace unrolled;

#define DECLARE_LEVEL(level)                     \
  namespace level {                              \
  extern const Kernels<float> kernels_float;     \
  extern const Kernels<double> kernels_double;   \
  extern const Optimizers<float> optimizers_float;   \
  extern const Optimizers<double> optimizers_double; \
  }
DECLARE_LEVEL(baseline)
#ifdef UNROLLED_HAS_avx2
DECLARE_LEVEL(avx2)
#endif
#ifdef UNROLLED_HAS_avx512
DECLARE_LEVEL(avx512)
#endif

namespace {

// ---- instruction sets ----

struct Level {
  const char *name;
  bool (*runs_here)();
  const Kernels<float> *f;
  const Kernels<double> *d;
  const Optimizers<float> *optimizers_f;
  const Optimizers<double> *optimizers_d;
};

const Level all_levels[] = {
#ifdef UNROLLED_HAS_avx512
    {"avx512",
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("bmi2");
     },
     &avx512::kernels_float, &avx512::kernels_double, &avx512::optimizers_float, &avx512::optimizers_double},
#endif
#ifdef UNROLLED_HAS_avx2
    {"avx2",
     [] {
       return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("bmi2");
     },
     &avx2::kernels_float, &avx2::kernels_double, &avx2::optimizers_float, &avx2::optimizers_double},
#endif
    {"baseline", [] { return true; }, &baseline::kernels_float, &baseline::kernels_double, &baseline::optimizers_float, &baseline::optimizers_double},
};
const Level *level = nullptr;

std::vector<std::string> levels() {
  std::vector<std::string> names;
  for (const Level &l : all_levels)
    if (l.runs_here()) names.push_back(l.name);
  return names;
}

void set_level(const std::string &name) {
  for (const Level &l : all_levels)
    if (l.runs_here() && name == l.name) {
      level = &l;
      return;
    }
  std::string known;
  for (const auto &l : levels()) known += (known.empty() ? "" : ", ") + l;
  throw nb::value_error(("UNROLLED_SIMD: this machine and build have the levels " + known + ", got \"" + name + "\"").c_str());
}

template <class T> const Kernels<T> &kernels();
template <> const Kernels<float> &kernels<float>() { return *level->f; }
template <> const Kernels<double> &kernels<double>() { return *level->d; }
template <class T> const Optimizers<T> &optimizers();
template <> const Optimizers<float> &optimizers<float>() { return *level->optimizers_f; }
template <> const Optimizers<double> &optimizers<double>() { return *level->optimizers_d; }

// ---- cells ----

struct CellInfo {
  const char *name;
  int gates, slots, states, biases;
};
const CellInfo cells[] = {
#define CELL(name, type, gates, slots, states, biases) {#name, gates, slots, states, biases},
#include "cells.def"
#undef CELL
};
constexpr int cell_count = sizeof(cells) / sizeof(cells[0]);

const CellInfo &cell_info(int cell) {
  if (cell < 0 || cell >= cell_count) throw nb::value_error("no such cell");
  return cells[cell];
}
Activation activation_of(int number) {
  if (number < 0 || number > int(Activation::softsign)) throw nb::value_error("no such activation");
  return Activation(number);
}

// ---- arrays ----

template <class T> using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::device::cpu>;  // rows may be strided
template <class T> using Packed = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T> using Out = nb::ndarray<nb::numpy, T>;
using Ids = nb::ndarray<const int32_t, nb::c_contig, nb::device::cpu>;
template <class T> using Maybe = std::optional<Packed<T>>;

void require(bool ok, const char *what) {
  if (!ok) throw nb::value_error(what);
}

// Whether 0 <= index < bound for all n; without a branch in the loop, for there are many.
bool all_below(const int32_t *index, size_t n, size_t bound) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; i++) largest = std::max(largest, uint32_t(index[i]));
  return n == 0 || largest < bound;
}

// A new array of T from the buffer pool; rows x columns, or rows x columns x more.
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
  Out<T> give(size_t shown_rows, size_t shown) {
    nb::capsule owner(data, [](void *p) noexcept { give_buffer(p); });
    T *given = data;
    data = nullptr;
    const size_t shape[2] = {shown_rows, shown};
    const int64_t strides[2] = {int64_t(columns), 1};
    return Out<T>(given, 2, shape, owner, strides);
  }
  Out<T> give() { return give(rows, columns); }
  Out<T> give_flat() {
    nb::capsule owner(data, [](void *p) noexcept { give_buffer(p); });
    T *given = data;
    data = nullptr;
    const size_t shape[1] = {rows * columns};
    return Out<T>(given, 1, shape, owner);
  }
};

template <class T> Out<T> vector_of(std::vector<T> values, std::vector<size_t> shape) {
  auto *kept = new std::vector<T>(std::move(values));
  nb::capsule owner(kept, [](void *p) noexcept { delete static_cast<std::vector<T> *>(p); });
  return Out<T>(kept->data(), shape.size(), shape.data(), owner);
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

// A layer's H from its recurrent kernel.
template <class T> int units_of(const Packed<T> &recurrent_kernel, const CellInfo &info) {
  require(recurrent_kernel.ndim() == 2 && recurrent_kernel.shape(0) > 0 && recurrent_kernel.shape(0) < most / 64 &&
          recurrent_kernel.shape(1) == recurrent_kernel.shape(0) * info.gates, "recurrent_kernel (H, G*H)");
  return int(recurrent_kernel.shape(0));
}

int padded(int H, int lanes) { return (H + lanes - 1) / lanes * lanes; }

// ---- functions ----

Plan plan_of(Ids index, std::optional<nb::ndarray<const bool, nb::c_contig, nb::device::cpu>> mask, Ids lead, int values,
             bool reverse, bool row_states) {
  require(index.ndim() == 2 && lead.ndim() == 1 && lead.shape(0) == index.shape(0), "index (B, T), lead (B,)");
  if (mask) require(mask->ndim() == 2 && mask->shape(0) == index.shape(0) && mask->shape(1) == index.shape(1), "mask (B, T)");
  require(index.shape(0) < most && index.shape(1) < most && index.size() + index.shape(0) < most,
          "a batch has fewer than 2^31 - 2^16 steps");
  require(values >= 0 && size_t(values) < most, "values: 0 to 2^31 - 2^16");
  require_aligned(index, lead);
  if (!all_below(index.data(), index.size(), values)) throw nb::index_error("index outside the table");
  const uint8_t *m = mask ? reinterpret_cast<const uint8_t *>(mask->data()) : nullptr;
  nb::gil_scoped_release release;
  return make_plan(index.data(), m, lead.data(), int(index.shape(0)), int(index.shape(1)), values, reverse, row_states);
}

// Masks (B, M, D), M = 1 or G, and the row of the batch of each of n values.
template <class T>
InputDropout<T> input_dropout(const Maybe<T> &masks, const std::optional<Ids> &owner, size_t n, int G, int D) {
  require(bool(masks) == bool(owner), "drop and owner, or neither");
  if (!masks) return {1, nullptr, nullptr};
  require(masks->ndim() == 3 && (masks->shape(1) == 1 || masks->shape(1) == size_t(G)) && masks->shape(2) == size_t(D),
          "drop (B, 1 or G, D)");
  require(owner->size() == n, "owner (n,)");
  require_aligned(masks, owner);
  if (!all_below(owner->data(), n, masks->shape(0))) throw nb::index_error("owner outside the batch");
  return {int(masks->shape(1)), masks->data(), owner->data()};
}

template <class T>
Out<T> project(int cell, int units, Matrix<T> table, std::optional<Ids> rows, Packed<T> kernel, Maybe<T> bias, Maybe<T> drop,
               std::optional<Ids> owner) {
  const CellInfo &info = cell_info(cell);
  require(table.shape(1) > 0 && rows_contiguous(table), "table (V, D), rows contiguous");
  require(units > 0 && size_t(units) < most / 64, "units: 1 to 2^25");
  require_aligned(table, rows, kernel, bias);
  const int D = int(table.shape(1)), G = info.gates, H = units;
  require(kernel.ndim() == 2 && kernel.shape(0) == table.shape(1) && kernel.shape(1) == size_t(G) * H, "kernel (D, G*H)");
  if (bias) require(bias->size() == size_t(G) * H, "bias (G*H,)");
  if (rows) {
    require(rows->size() < most, "rows (n,)");
    if (!all_below(rows->data(), rows->size(), table.shape(0))) throw nb::index_error("rows outside the table");
  }
  const int n = int(rows ? rows->size() : table.shape(0));
  const InputDropout<T> dropout = input_dropout<T>(drop, owner, n, G, D);
  New<T> z(n, size_t(G) * padded(H, kernels<T>().lanes));
  {
    nb::gil_scoped_release release;
    kernels<T>().project({CellKind(cell), H, D, n, table.data(), size_t(table.stride(0)),
                          rows ? rows->data() : nullptr, kernel.data(), data_or_null(bias), dropout, z.data});
  }
  return z.give();
}

template <class T> void check_drop(const Maybe<T> &drop, const Plan &plan, const CellInfo &info, int H) {
  if (!drop) return;
  require(drop->ndim() == 3 && drop->shape(0) == size_t(plan.batch) && drop->shape(1) == size_t(info.gates) &&
          drop->shape(2) == size_t(H), "drop (B, G, H)");
  require(plan.prefix == 0, "under recurrent dropout rows share no prefix");
}

template <class T>
nb::tuple forward(int cell, int activation, int recurrent_activation, const Plan &plan, Packed<T> z,
                  Packed<T> recurrent_kernel, Maybe<T> recurrent_bias, Maybe<T> h0, Maybe<T> c0, Maybe<T> drop,
                  bool keep, bool sequences) {
  const CellInfo &info = cell_info(cell);
  const Activation a = activation_of(activation), ra = activation_of(recurrent_activation);
  require_aligned(z, recurrent_kernel, recurrent_bias, h0, c0, drop);
  const int H = units_of(recurrent_kernel, info), Hp = padded(H, kernels<T>().lanes);
  require(z.ndim() == 2 && z.shape(0) == size_t(plan.values) && z.shape(1) == size_t(info.gates) * Hp, "z (n, G*Hp)");
  if (recurrent_bias)
    require(info.biases == 2 && recurrent_bias->size() == size_t(info.gates) * H, "recurrent_bias (G*H,)");
  check_shape<T>(h0, plan.initial, H, "h0 (S, H)");
  check_shape<T>(c0, plan.initial, H, "c0 (S, H)");
  check_drop<T>(drop, plan, info, H);
  const bool has_c = info.states == 2, keep_h = keep || sequences;
  const size_t positions = size_t(plan.prefix) + plan.own, kept = 1 + size_t(plan.prefix) + plan.initial;
  New<T> h((keep_h ? plan.own : 0) + kept, Hp), c(has_c ? (keep ? plan.own : 0) + kept : 0, Hp);
  New<T> stash(keep ? positions : 0, size_t(info.slots) * Hp);
  New<T> last(plan.batch, H), final_h(plan.batch, H), final_c(has_c ? plan.batch : 0, H);
  {
    nb::gil_scoped_release release;
    kernels<T>().forward({CellKind(cell), a, ra, H, plan.view(), z.data(), recurrent_kernel.data(), data_or_null(recurrent_bias), data_or_null(h0),
                          data_or_null(c0), data_or_null(drop), h.data, has_c ? c.data : nullptr, keep ? stash.data : nullptr, keep_h, keep,
                          final_h.data, has_c ? final_c.data : nullptr, last.data});
  }
  return nb::make_tuple(h.give(), c.give(), stash.give(), last.give(), final_h.give(), final_c.give());
}

template <class T>
nb::tuple backward(int cell, int activation, int recurrent_activation, Plan &plan, Packed<T> recurrent_kernel,
                   Maybe<T> drop, Packed<T> h, Packed<T> c, nb::ndarray<T, nb::c_contig, nb::device::cpu> stash,
                   std::optional<Matrix<T>> d_outputs, Maybe<T> d_last, Maybe<T> d_final_h, Maybe<T> d_final_c,
                   bool every_state) {
  const CellInfo &info = cell_info(cell);
  const Activation a = activation_of(activation), ra = activation_of(recurrent_activation);
  require_aligned(recurrent_kernel, drop, h, c, stash, d_outputs, d_last, d_final_h, d_final_c);
  const int H = units_of(recurrent_kernel, info), Hp = padded(H, kernels<T>().lanes), G = info.gates;
  const bool has_c = info.states == 2;
  const size_t positions = size_t(plan.prefix) + plan.own, rows = 1 + positions + plan.initial;
  check_drop<T>(drop, plan, info, H);
  require(h.ndim() == 2 && h.shape(0) == rows && h.shape(1) == size_t(Hp), "h (state rows, Hp)");
  if (has_c) require(c.ndim() == 2 && c.shape(0) == rows && c.shape(1) == size_t(Hp), "c (state rows, Hp)");
  require(stash.ndim() == 2 && stash.shape(0) == positions && stash.shape(1) == size_t(info.slots) * Hp,
          "stash (P+N, slots*Hp)");
  if (d_outputs)
    require(d_outputs->shape(0) >= 1 + positions && d_outputs->shape(1) == size_t(H) && rows_contiguous(*d_outputs),
            "d_outputs (1+P+N, H), rows contiguous");
  check_shape<T>(d_last, plan.batch, H, "d_last (B, H)");
  check_shape<T>(d_final_h, plan.batch, H, "d_final_h (B, H)");
  check_shape<T>(d_final_c, plan.batch, H, "d_final_c (B, H)");
  New<T> d_kernel(H, size_t(G) * H), d_bias(info.biases == 2 ? 1 : 0, size_t(G) * H);
  New<T> d_h0(plan.initial, H), d_c0(has_c ? plan.initial : 0, H);
  New<T> d_h(every_state ? 1 + positions : 0, Hp), d_c(every_state && has_c ? 1 + positions : 0, Hp);
  plan.count_positions();
  const bool by_value = G * Hp <= most_frequent_columns && plan.frequent_values > 0;
  New<T> frequent(by_value ? plan.frequent_values : 0, size_t(G) * Hp);
  if (every_state) std::fill_n(d_h.data, Hp, T(0));  // the blank row: no step writes it
  if (every_state && has_c) std::fill_n(d_c.data, Hp, T(0));
  {
    nb::gil_scoped_release release;
    kernels<T>().backward({CellKind(cell), a, ra, H, plan.view(), recurrent_kernel.data(), data_or_null(drop), h.data(), has_c ? c.data() : nullptr, stash.data(),
                           d_outputs ? d_outputs->data() : nullptr, d_outputs ? size_t(d_outputs->stride(0)) : 0,
                           data_or_null(d_last), data_or_null(d_final_h), data_or_null(d_final_c), d_kernel.data,
                           info.biases == 2 ? d_bias.data : nullptr, d_h0.data, has_c ? d_c0.data : nullptr,
                           every_state ? d_h.data : nullptr, every_state && has_c ? d_c.data : nullptr,
                           by_value ? frequent.data : nullptr,
                           [](void *p) { static_cast<Plan *>(p)->sort_positions(); }, &plan});
  }
  return nb::make_tuple(d_kernel.give(), d_bias.give(), d_h0.give(), d_c0.give(), d_h.give(), d_c.give(),
                        frequent.give());
}

template <class T>
nb::tuple project_backward(int cell, Plan &plan, Matrix<T> table, std::optional<Ids> rows, Packed<T> kernel,
                           Maybe<T> drop, std::optional<Ids> owner, Packed<T> stash, Packed<T> frequent, bool want_kernel,
                           bool want_bias, bool want_values) {
  const CellInfo &info = cell_info(cell);
  require(table.shape(1) > 0 && rows_contiguous(table), "table (V, D), rows contiguous");
  require(kernel.ndim() == 2 && kernel.shape(0) == table.shape(1) && kernel.shape(1) > 0 &&
          kernel.shape(1) % info.gates == 0 && kernel.shape(1) / info.gates < most / 64, "kernel (D, G*H)");
  const int D = int(kernel.shape(0)), G = info.gates, H = int(kernel.shape(1) / G), lanes = kernels<T>().lanes;
  const int n = plan.values, Dp = padded(D, lanes);
  require_aligned(table, rows, kernel, stash, frequent);
  require((rows ? rows->size() : table.shape(0)) == size_t(n), "rows (n,)");
  if (rows && !all_below(rows->data(), rows->size(), table.shape(0))) throw nb::index_error("rows outside the table");
  require(stash.ndim() == 2 && stash.shape(0) == size_t(plan.prefix) + plan.own &&
          stash.shape(1) == size_t(info.slots) * padded(H, lanes), "stash (P+N, slots*Hp)");
  plan.count_positions();
  require(frequent.size() == 0 || (frequent.ndim() == 2 && frequent.shape(0) == size_t(plan.frequent_values) &&
          frequent.shape(1) == size_t(G) * padded(H, lanes)), "frequent (K, G*Hp), as backward gave it");
  const InputDropout<T> dropout = input_dropout<T>(drop, owner, n, G, D);
  New<T> d_kernel(want_kernel ? D : 0, size_t(G) * H), d_bias(want_bias ? 1 : 0, size_t(G) * H);
  New<T> d_values(want_values ? n : 0, Dp);
  {
    nb::gil_scoped_release release;
    plan.sort_positions();
    kernels<T>().project_backward({CellKind(cell), H, D, plan.view(), table.data(), size_t(table.stride(0)),
                                   rows ? rows->data() : nullptr, kernel.data(), dropout, stash.data(), nullptr,
                                   frequent.size() ? frequent.data() : nullptr,
                                   want_kernel ? d_kernel.data : nullptr, want_bias ? d_bias.data : nullptr,
                                   want_values ? d_values.data : nullptr, size_t(Dp)});
  }
  return nb::make_tuple(d_kernel.give(), d_bias.give(), d_values.give(d_values.rows, D));
}

// A map x W + b for every row, by the kernel that projects a cell of one gate: a row's sums run in one order in any batch.
template <class T> std::pair<int, int> check_dense(const Matrix<T> &x, const Packed<T> &kernel) {
  require(x.shape(1) > 0 && rows_contiguous(x), "x (n, D), rows contiguous");
  require_aligned(x, kernel);
  require(kernel.ndim() == 2 && kernel.shape(0) == x.shape(1) && kernel.shape(1) > 0 && kernel.shape(1) < most / 64,
          "kernel (D, K)");
  return {int(kernel.shape(0)), int(kernel.shape(1))};
}

template <class T> Out<T> dense(Matrix<T> x, Packed<T> kernel, Maybe<T> bias) {
  const auto [D, K] = check_dense(x, kernel);
  if (bias) require(bias->size() == size_t(K), "bias (K,)");
  require_aligned(bias);
  New<T> z(x.shape(0), padded(K, kernels<T>().lanes));
  {
    nb::gil_scoped_release release;
    kernels<T>().project({CellKind::simple_rnn, K, D, int(x.shape(0)), x.data(), size_t(x.stride(0)), nullptr,
                          kernel.data(), data_or_null(bias), {1, nullptr, nullptr}, z.data});
  }
  z.close_up(K);
  return z.give();
}

template <class T>
nb::tuple dense_backward(Matrix<T> x, Packed<T> kernel, Packed<T> d_z, bool want_kernel, bool want_x) {
  const auto [D, K] = check_dense(x, kernel);
  require_aligned(d_z);
  require(d_z.ndim() == 2 && d_z.shape(0) == x.shape(0) && d_z.shape(1) == size_t(K), "d_z (n, K)");
  const int n = int(x.shape(0)), Dp = padded(D, kernels<T>().lanes);
  New<T> d_kernel(want_kernel ? D : 0, K), d_bias(1, want_kernel ? K : 0), d_x(want_x ? n : 0, Dp);
  {
    nb::gil_scoped_release release;
    PlanView one_position_each{};
    one_position_each.values = n;
    kernels<T>().project_backward({CellKind::simple_rnn, K, D, one_position_each, x.data(), size_t(x.stride(0)), nullptr,
                                   kernel.data(), {1, nullptr, nullptr}, nullptr, d_z.data(), nullptr,
                                   want_kernel ? d_kernel.data : nullptr, want_kernel ? d_bias.data : nullptr,
                                   want_x ? d_x.data : nullptr, size_t(Dp)});
  }
  d_x.close_up(D);
  return nb::make_tuple(d_kernel.give(), d_bias.give_flat(), d_x.give());
}

template <class T> nb::tuple cross_entropy_of(Packed<T> logits, Packed<T> labels, bool softmax, bool gradient) {
  require(logits.ndim() == 2 && logits.shape(1) > 0 && logits.shape(0) < most && logits.shape(1) < most, "logits (n, K)");
  require(labels.ndim() == 2 && labels.shape(0) == logits.shape(0) && labels.shape(1) == logits.shape(1), "labels (n, K)");
  require_aligned(logits, labels);
  const size_t n = logits.shape(0), K = logits.shape(1);
  New<T> value(1, n), d(gradient ? n : 0, K);
  {
    nb::gil_scoped_release release;
    cross_entropy<T>(softmax, n, int(K), logits.data(), labels.data(), value.data, gradient ? d.data : nullptr);
  }
  return nb::make_tuple(value.give_flat(), d.give());
}

template <class T> Out<T> collect(Ids index, Packed<T> d, int n) {
  require(d.ndim() == 2 && d.shape(0) == index.size() && index.size() < most && d.shape(1) < most, "index (m,), d (m, F)");
  require(n >= 0 && size_t(n) < most, "n: 0 to 2^31 - 2^16");
  require_aligned(index, d);
  if (!all_below(index.data(), index.size(), n)) throw nb::index_error("index outside the table");
  New<T> out(n, d.shape(1));
  {
    nb::gil_scoped_release release;
    std::vector<int32_t> bucket, by_value;
    sort_by_value(index.data(), index.size(), n, bucket, by_value);
    kernels<T>().collect(n, int(d.shape(1)), bucket.data(), by_value.data(), d.data(), out.data);
  }
  return out.give();
}

using Mask = std::optional<nb::ndarray<const bool, nb::c_contig, nb::device::cpu>>;

template <class T>
PoolView<T> pool_view(const Matrix<T> &table, const std::optional<Ids> &rows, const Ids &index, const Mask &mask) {
  require(table.shape(1) > 0 && rows_contiguous(table), "table (V, F), rows contiguous");
  require(index.ndim() == 2 && index.shape(0) < most && index.shape(1) < most && index.size() < most, "index (B, T)");
  require_aligned(table, rows, index);
  if (mask) require(mask->ndim() == 2 && mask->shape(0) == index.shape(0) && mask->shape(1) == index.shape(1), "mask (B, T)");
  require(!rows || rows->size() < most, "rows (n,)");
  if (rows && !all_below(rows->data(), rows->size(), table.shape(0))) throw nb::index_error("rows outside the table");
  if (!all_below(index.data(), index.size(), rows ? rows->size() : table.shape(0)))
    throw nb::index_error("index outside the table");
  return {int(index.shape(0)), int(index.shape(1)), int(table.shape(1)), table.data(), size_t(table.stride(0)),
          rows ? rows->data() : nullptr, index.data(), mask ? reinterpret_cast<const uint8_t *>(mask->data()) : nullptr};
}

template <class T>
nb::tuple pool(Matrix<T> table, std::optional<Ids> rows, Ids index, Mask mask, bool want_max, bool want_mean) {
  const PoolView<T> view = pool_view<T>(table, rows, index, mask);
  New<T> max(want_max ? view.B : 0, view.F), ties(want_max ? view.B : 0, view.F), mean(want_mean ? view.B : 0, view.F);
  {
    nb::gil_scoped_release release;
    kernels<T>().pool({view, want_max ? max.data : nullptr, ties.data, want_mean ? mean.data : nullptr});
  }
  return nb::make_tuple(max.give(), ties.give(), mean.give());
}

template <class T>
Out<T> pool_backward(Matrix<T> table, std::optional<Ids> rows, Ids index, Mask mask, Maybe<T> max, Maybe<T> d_max,
                     Maybe<T> d_mean) {
  const PoolView<T> view = pool_view<T>(table, rows, index, mask);
  require_aligned(max, d_max, d_mean);
  require(bool(max) == bool(d_max), "max and d_max, or neither");
  check_shape<T>(max, view.B, view.F, "max (B, F)");
  check_shape<T>(d_max, view.B, view.F, "d_max (B, F)");
  check_shape<T>(d_mean, view.B, view.F, "d_mean (B, F)");
  const size_t n = rows ? rows->size() : table.shape(0);
  New<T> out(n, view.F);
  {
    nb::gil_scoped_release release;
    std::vector<int32_t> bucket, by_value;
    sort_by_value(index.data(), index.size(), int(n), bucket, by_value);
    kernels<T>().pool_backward({view, int(n), bucket.data(), by_value.data(), data_or_null(max), data_or_null(d_max),
                                data_or_null(d_mean), out.data});
  }
  return out.give();
}

// Distinct ids in the order of their first appearance (rows), each place's number in them (index), and the zeros that stand
// first and last in every row. An id outside [0, V) gives (None, its place).
template <class I> nb::tuple distinct(nb::ndarray<const I, nb::ndim<2>, nb::c_contig, nb::device::cpu> ids, int V) {
  require_aligned(ids);
  const size_t B = ids.shape(0), T = ids.shape(1);
  require(V >= 0 && B < most && T < most && B * T < most, "ids (B, T), fewer than 2^31 - 2^16; vocabulary at least 0");
  std::vector<int32_t> slot(V, -1), rows;
  New<int32_t> index(B, T), lead(1, B), trail(1, B);
  const I *id = ids.data();
  const auto number = [&](I token) {
    int32_t &s = slot[token];
    if (s < 0) {
      s = int32_t(rows.size());
      rows.push_back(int32_t(token));
    }
    return s;
  };
  for (size_t b = 0; b < B; b++) {
    const I *row = id + b * T;
    int32_t *to = index.data + b * T;
    size_t first = 0, last = 0;
    while (first < T && row[first] == 0) first++;
    while (last < T && row[T - 1 - last] == 0) last++;
    lead.data[b] = int32_t(first), trail.data[b] = int32_t(last);
    if (first > 0 && V > 0) std::fill(to, to + first, number(0));
    for (size_t t = V > 0 ? first : 0; t < T; t++) {
      if (row[t] < 0 || row[t] >= V) return nb::make_tuple(nb::none(), b * T + t);
      to[t] = number(row[t]);
    }
  }
  const size_t n = rows.size();
  return nb::make_tuple(vector_of<int32_t>(std::move(rows), {n}), index.give(), lead.give_flat(), trail.give_flat());
}

// ---- optimizers ----

struct RuleInfo {
  const char *name;
  int slots;
};
const RuleInfo rules[] = {
#define RULE(name, slots) {#name, slots},
    UNROLLED_RULES(RULE)
#undef RULE
};
constexpr int rule_count = sizeof(rules) / sizeof(rules[0]);

template <class T> using Changed = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

// The gradient of one parameter, whole or of some rows, into args; slot: room for where each row's gradient stands.
template <class T>
void take_gradient(UpdateArgs<T> &args, const Changed<T> &value, const nb::ndarray<const T, nb::device::cpu> &gradient,
                   const std::optional<Ids> &rows, std::vector<int32_t> &slot) {
  require_aligned(value, gradient, rows);
  args.g = gradient.data();
  if (!rows) {
    require(gradient.size() == value.size(), "gradient of another size");
    int64_t next = 1;
    for (size_t axis = gradient.ndim(); axis-- > 0;) {
      require(gradient.shape(axis) == 1 || gradient.stride(axis) == next, "gradient must be contiguous");
      next *= int64_t(gradient.shape(axis));
    }
    return;
  }
  require(value.ndim() == 2 && gradient.ndim() == 2 && gradient.shape(0) == rows->size() &&
          gradient.shape(1) == value.shape(1) && (gradient.stride(1) == 1 || value.shape(1) <= 1) &&
          (gradient.stride(0) >= 0 || gradient.shape(0) <= 1) && rows->size() < most, "gradient (n, D)");
  args.rows = value.shape(0), args.columns = value.shape(1), args.ld = size_t(gradient.stride(0));
  slot.assign(args.rows, -1);
  for (size_t i = 0; i < rows->size(); i++) {
    const int32_t r = rows->data()[i];
    if (uint32_t(r) >= args.rows) throw nb::index_error("rows outside the table");
    require(slot[r] < 0, "rows must be distinct");
    slot[r] = int32_t(i);
  }
  args.slot = slot.data();
}

// One step on all parameters of one float type; state, rows and scale by parameter.
template <class T>
void update(int rule, std::vector<Changed<T>> values, std::vector<std::vector<Changed<T>>> states,
            std::vector<nb::ndarray<const T, nb::device::cpu>> gradients, std::vector<std::optional<Ids>> rows, double rate,
            double decay, std::vector<double> scales, std::vector<double> constants) {
  require(rule >= 0 && rule < rule_count && constants.size() <= 4, "no such rule, or constants of another one");
  const size_t n = values.size();
  require(states.size() == n && gradients.size() == n && rows.size() == n && scales.size() == n, "lists differ in length");
  std::vector<UpdateArgs<T>> all;
  std::vector<std::vector<int32_t>> slots(n);
  for (size_t p = 0; p < n; p++) {
    UpdateArgs<T> args{Rule(rule), 1, values[p].size(), values[p].data(), {}, nullptr, 0, nullptr,
                       T(rate), T(decay), T(scales[p]), {}};
    require(int(states[p].size()) == rules[rule].slots, "state of another rule");
    for (size_t k = 0; k < states[p].size(); k++) {
      require(states[p][k].size() == values[p].size(), "state of another size");
      require_aligned(states[p][k]);
      args.state[k] = states[p][k].data();
    }
    for (size_t k = 0; k < constants.size(); k++) args.constant[k] = T(constants[k]);
    take_gradient(args, values[p], gradients[p], rows[p], slots[p]);
    if (values[p].size() > 0) all.push_back(args);
  }
  std::vector<int> first_task(n + 1);
  nb::gil_scoped_release release;
  optimizers<T>().update(all.data(), int(all.size()), first_task.data());
}

// The first of these arrays (rows contiguous) that has an entry which is not finite, or -1.
using AnyFloats = nb::ndarray<nb::ro, nb::device::cpu>;
template <class T> bool finite(const AnyFloats &array) {
  const size_t last = array.ndim() ? array.ndim() - 1 : 0, columns = array.ndim() ? array.shape(last) : 1;
  if (array.size() == 0) return true;
  require(array.ndim() == 0 || columns == 1 || array.stride(last) == 1, "rows must be contiguous");
  const size_t rows = array.size() / columns, ld = rows == 1 ? columns : size_t(array.stride(last - 1));
  for (size_t axis = 0; axis + 1 < last; axis++)
    require(array.stride(axis) == array.stride(axis + 1) * int64_t(array.shape(axis + 1)), "rows must be evenly spaced");
  require(rows == 1 || array.stride(last - 1) >= 0, "rows must go forward");
  const T *data = static_cast<const T *>(array.data());
  require(reinterpret_cast<uintptr_t>(data) % alignof(T) == 0, "arrays must be aligned");
  nb::gil_scoped_release release;
  return optimizers<T>().finite(data, rows, columns, ld);
}
int first_not_finite(std::vector<AnyFloats> arrays) {
  for (size_t i = 0; i < arrays.size(); i++) {
    const bool f = arrays[i].dtype() == nb::dtype<float>(), d = arrays[i].dtype() == nb::dtype<double>();
    require(f || d, "float32 or float64");
    if (!(f ? finite<float>(arrays[i]) : finite<double>(arrays[i]))) return int(i);
  }
  return -1;
}

template <class T> void bind(nb::module_ &m) {
  m.def("update", &update<T>, "rule"_a, "values"_a.noconvert(), "states"_a.noconvert(), "gradients"_a.noconvert(),
        "rows"_a.noconvert(), "rate"_a, "decay"_a, "scales"_a, "constants"_a);
  m.def("project", &project<T>, "cell"_a, "units"_a, "table"_a.noconvert(), "rows"_a.noconvert().none(),
        "kernel"_a.noconvert(), "bias"_a.noconvert().none(), "drop"_a.noconvert().none() = nb::none(),
        "owner"_a.noconvert().none() = nb::none());
  m.def("forward", &forward<T>, "cell"_a, "activation"_a, "recurrent_activation"_a, "plan"_a, "z"_a.noconvert(),
        "recurrent_kernel"_a.noconvert(), "recurrent_bias"_a.noconvert().none(), "h0"_a.noconvert().none(),
        "c0"_a.noconvert().none(), "drop"_a.noconvert().none(), "keep"_a, "sequences"_a);
  m.def("backward", &backward<T>, "cell"_a, "activation"_a, "recurrent_activation"_a, "plan"_a,
        "recurrent_kernel"_a.noconvert(), "drop"_a.noconvert().none(), "h"_a.noconvert(), "c"_a.noconvert(), "stash"_a.noconvert(),
        "d_outputs"_a.noconvert().none(), "d_last"_a.noconvert().none(), "d_final_h"_a.noconvert().none(),
        "d_final_c"_a.noconvert().none(), "every_state"_a = false);
  m.def("project_backward", &project_backward<T>, "cell"_a, "plan"_a, "table"_a.noconvert(),
        "rows"_a.noconvert().none(), "kernel"_a.noconvert(), "drop"_a.noconvert().none(), "owner"_a.noconvert().none(),
        "stash"_a.noconvert(), "frequent"_a.noconvert(), "want_kernel"_a, "want_bias"_a,
        "want_values"_a);
  m.def("dense", &dense<T>, "x"_a.noconvert(), "kernel"_a.noconvert(), "bias"_a.noconvert().none());
  m.def("dense_backward", &dense_backward<T>, "x"_a.noconvert(), "kernel"_a.noconvert(), "d_z"_a.noconvert(),
        "want_kernel"_a, "want_x"_a);
  m.def("cross_entropy", &cross_entropy_of<T>, "logits"_a.noconvert(), "labels"_a.noconvert(), "softmax"_a, "gradient"_a);
  m.def("collect", &collect<T>, "index"_a.noconvert(), "d"_a.noconvert(), "n"_a);
  m.def("pool", &pool<T>, "table"_a.noconvert(), "rows"_a.noconvert().none(), "index"_a.noconvert(),
        "mask"_a.noconvert().none(), "want_max"_a, "want_mean"_a);
  m.def("pool_backward", &pool_backward<T>, "table"_a.noconvert(), "rows"_a.noconvert().none(), "index"_a.noconvert(),
        "mask"_a.noconvert().none(), "max"_a.noconvert().none(), "d_max"_a.noconvert().none(),
        "d_mean"_a.noconvert().none());
}

}  // namespace

NB_MODULE(_native, m) {
  const char *forced = std::getenv("UNROLLED_SIMD");
  set_level(forced && *forced ? forced : levels().front());
  m.def("levels", &levels, "Instruction sets that this machine and build have, best first.");
  m.def("level", [] { return level->name; });
  m.def("set_level", &set_level, "name"_a);
  m.def("lanes", [](bool wide) { return wide ? level->d->lanes : level->f->lanes; }, "float64"_a);
  m.def("set_threads", &set_threads, "n"_a);
  m.def("get_threads", &get_threads);
  m.def("drop_buffers", &drop_buffers);
  m.def("cells", [] {
    nb::list all;
    for (const CellInfo &c : cells) all.append(nb::make_tuple(c.name, c.gates, c.slots, c.states, c.biases));
    return all;
  }, "(name, gates, slots, states, rows of bias) of every cell, in the order of their numbers.");

  nb::class_<Plan>(m, "Plan")
      .def_ro("batch", &Plan::batch)
      .def_ro("steps", &Plan::steps)
      .def_ro("values", &Plan::values)
      .def_ro("prefix", &Plan::prefix)
      .def_ro("own", &Plan::own)
      .def_ro("initial", &Plan::initial)
      .def_ro("reverse", &Plan::reverse)
      .def_prop_ro("row_steps", [](const Plan &p) { return p.prefix + p.own; })
      .def("order", [](const Plan &p) { return vector_of<int32_t>(p.order, {p.order.size()}); })
      .def("value", [](const Plan &p) { return vector_of<int32_t>(p.value, {p.value.size()}); })
      .def("previous", [](const Plan &p) { return vector_of<int32_t>(p.previous, {p.previous.size()}); })
      .def("final_row", [](const Plan &p) { return vector_of<int32_t>(p.final_row, {p.final_row.size()}); })
      .def("last_row", [](const Plan &p) { return vector_of<int32_t>(p.last_row, {p.last_row.size()}); })
      .def("shared", [](const Plan &p) { return vector_of<int32_t>(p.shared, {p.shared.size()}); })
      .def("out_index", [](const Plan &p) {
        return vector_of<int32_t>(p.out_index(), {size_t(p.batch), size_t(p.steps)});
      });
  m.def("rules", [] {
    nb::list all;
    for (const RuleInfo &rule : rules) all.append(nb::make_tuple(rule.name, rule.slots));
    return all;
  }, "(name, state arrays) of every optimizer rule, in the order of their numbers.");
  m.def("plan", &plan_of, "index"_a.noconvert(), "mask"_a.noconvert().none(), "lead"_a.noconvert(), "values"_a,
        "reverse"_a, "row_states"_a);
  m.def("first_not_finite", &first_not_finite, "arrays"_a.noconvert());
  m.def("distinct", &distinct<int32_t>, "ids"_a.noconvert(), "vocabulary"_a);
  m.def("distinct", &distinct<int64_t>, "ids"_a.noconvert(), "vocabulary"_a);
  bind<float>(m);
  bind<double>(m);
}
