// bind_layers.cpp: what stands around recurrent layers: distinct ids, Dense, pooling over time, cross-entropy and
// the sum of a loss.
#include "bindings.h"
#include "losses.h"

namespace unrolled {
namespace {

// How many zeros stand first in a row.
template <class I> size_t zeros_first(const I *row, size_t T) {
  constexpr size_t together = 16;  // padding is long: any compiler makes vectors of this
  size_t first = 0;
  for (; first + together <= T; first += together) {
    I any = 0;
    for (size_t j = 0; j < together; j++) any |= row[first + j];
    if (any != 0) break;
  }
  while (first < T && row[first] == 0) first++;
  return first;
}

// Distinct ids in the order of their first appearance (rows), each place's number in them (index), and the zeros that stand
// first and last in every row. An id outside [0, V) gives (None, its place).
template <class I> nb::tuple distinct(nb::ndarray<const I, nb::ndim<2>, nb::c_contig, nb::device::cpu> ids, int V) {
  require_aligned(ids);
  const size_t B = ids.shape(0), T = ids.shape(1);
  require(V >= 0 && B < most && T < most && B * T < most, "ids (B, T), fewer than 2^31 - 2^16; vocabulary at least 0");
  std::vector<int32_t> slot(V, -1), rows(std::min(size_t(V), B * T) + 1);
  New<int32_t> index(B, T), lead(1, B), trail(1, B);
  const I *id = ids.data();
  int32_t n = 0;
  const auto number = [&](I token) {  // no branch: no processor guesses which words are new
    const int32_t found = slot[token], is_new = found >> 31, s = (found & ~is_new) | (n & is_new);  // is_new: all bits
    slot[token] = s;
    rows[n] = int32_t(token);  // one more than there are, until the next new one comes
    n -= is_new;
    return s;
  };
  for (size_t b = 0; b < B; b++) {
    const I *row = id + b * T;
    int32_t *to = index.data + b * T;
    const size_t first = zeros_first(row, T);
    size_t last = 0;
    while (last < T && row[T - 1 - last] == 0) last++;
    lead.data[b] = int32_t(first), trail.data[b] = int32_t(last);
    if (first > 0 && V > 0) std::fill(to, to + first, number(0));
    for (size_t t = V > 0 ? first : 0; t < T; t++) {
      if (std::make_unsigned_t<I>(row[t]) >= std::make_unsigned_t<I>(V)) return nb::make_tuple(nb::none(), b * T + t);
      to[t] = number(row[t]);
    }
  }
  rows.resize(n);
  return nb::make_tuple(array_of(std::move(rows)), index.give(), lead.give_flat(), trail.give_flat());
}

// A map x W + b for every row, by the kernel that projects a cell of one gate: a row's sums run in one order in any batch.
template <class T> std::pair<int, int> check_dense(const Matrix<T> &x, const Packed<T> &kernel) {
  require(x.shape(1) > 0 && rows_contiguous(x), "x (n, D), rows contiguous");
  require_aligned(x, kernel);
  require(kernel.ndim() == 2 && kernel.shape(0) == x.shape(1) && kernel.shape(1) > 0 && kernel.shape(1) < most / 64,
          "kernel (D, K)");
  return {int(kernel.shape(0)), int(kernel.shape(1))};
}

template <class T> nb::object dense(Matrix<T> x, Packed<T> kernel, Maybe<T> bias) {
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
                                   kernel.data(), {1, nullptr, nullptr}, nullptr, nullptr, d_z.data(), nullptr,
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

// The sum of all entries, each times its weight; see losses.h.
template <class T> double total(Packed<T> array, Maybe<T> weights) {
  require_aligned(array, weights);
  if (weights) require(weights->size() == array.size(), "weights: as many as entries");
  return weighted_sum<T>(array.size(), array.data(), data_or_null(weights));
}

template <class T> nb::object collect(Ids index, Packed<T> d, int n) {
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

template <class T>
PoolView<T> pool_view(const Matrix<T> &table, const std::optional<Ids> &rows, const Ids &index, const Mask &mask) {
  require(table.shape(1) > 0 && rows_contiguous(table), "table (V, F), rows contiguous");
  require(index.ndim() == 2 && index.shape(0) < most && index.shape(1) < most && index.size() < most, "index (B, T)");
  require_aligned(table, rows, index);
  const uint8_t *kept = check_mask(mask, index);
  if (!all_below(index.data(), index.size(), count_rows<T>(table, rows))) throw nb::index_error("index outside the table");
  return {int(index.shape(0)), int(index.shape(1)), int(table.shape(1)), table.data(), size_t(table.stride(0)),
          rows ? rows->data() : nullptr, index.data(), kept};
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
nb::object pool_backward(Matrix<T> table, std::optional<Ids> rows, Ids index, Mask mask, Maybe<T> max, Maybe<T> d_max,
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

template <class T> void bind(nb::module_ &m) {
  m.def("dense", &dense<T>, "x"_a.noconvert(), "kernel"_a.noconvert(), "bias"_a.noconvert().none());
  m.def("dense_backward", &dense_backward<T>, "x"_a.noconvert(), "kernel"_a.noconvert(), "d_z"_a.noconvert(),
        "want_kernel"_a, "want_x"_a);
  m.def("cross_entropy", &cross_entropy_of<T>, "logits"_a.noconvert(), "labels"_a.noconvert(), "softmax"_a, "gradient"_a);
  m.def("total", &total<T>, "array"_a.noconvert(), "weights"_a.noconvert().none());
  m.def("collect", &collect<T>, "index"_a.noconvert(), "d"_a.noconvert(), "n"_a);
  m.def("pool", &pool<T>, "table"_a.noconvert(), "rows"_a.noconvert().none(), "index"_a.noconvert(),
        "mask"_a.noconvert().none(), "want_max"_a, "want_mean"_a);
  m.def("pool_backward", &pool_backward<T>, "table"_a.noconvert(), "rows"_a.noconvert().none(), "index"_a.noconvert(),
        "mask"_a.noconvert().none(), "max"_a.noconvert().none(), "d_max"_a.noconvert().none(),
        "d_mean"_a.noconvert().none());
}

}  // namespace

void bind_layers(nb::module_ &m) {
  m.def("distinct", &distinct<int32_t>, "ids"_a.noconvert(), "vocabulary"_a);
  m.def("distinct", &distinct<int64_t>, "ids"_a.noconvert(), "vocabulary"_a);
  bind<float>(m);
  bind<double>(m);
}

}  // namespace unrolled
