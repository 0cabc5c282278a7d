// head.h: what stands above a recurrent layer that gives one vector a row: a dense map to logits, and their cross-entropy.
// Row by row, so that a block of rows can go back as soon as it has run; by the kernels that serve Dense alone, with their
// bits.
#pragma once
#include "bindings.h"
#include "losses.h"

namespace unrolled {

template <class T> struct Head {
  int H, K;
  bool softmax;
  const T *kernel, *bias;  // (H, K), and (K,) or null
  const T *labels;         // (B, K)
  const T *weights;        // (B,) by how much each row's value counts in the loss, or null, and then
  double weight;           // this much
  const T *last;           // (B, H)
  T *logits, *values, *d_logits, *d_last;  // out: (B, K), (B,), (B, K), (B, H)

  static constexpr InputDropout<T> no_dropout{1, nullptr, nullptr};

  // Rows of the batch, whose last outputs are there.
  void run(const int32_t *rows, int n) const {
    const size_t Kp = padded(K, kernels<T>().lanes), Hp = padded(H, kernels<T>().lanes);
    New<T> z(n, Kp), d_z(n, K), d_x(n, Hp);
    kernels<T>().project({CellKind::simple_rnn, K, H, n, last, size_t(H), rows, kernel, bias, no_dropout, z.data});
    for (int i = 0; i < n; i++) {
      const size_t b = rows[i];
      const T *x = z.data + i * Kp;
      T *d = d_z.data + size_t(i) * K;
      (softmax ? softmax_row<T> : sigmoid_row<T>)(K, x, labels + b * K, values + b, d);
      for (int k = 0; k < K; k++) d[k] *= weights ? weights[b] : T(weight);
      std::copy_n(x, K, logits + b * K);
      std::copy_n(d, K, d_logits + b * K);
    }
    kernels<T>().project_backward(way_back(n, rows, d_z.data, nullptr, nullptr, d_x.data, Hp));
    for (int i = 0; i < n; i++) std::copy_n(d_x.data + i * Hp, H, d_last + size_t(rows[i]) * H);
  }

  // Of all n rows, once all have run.
  double loss(int n) const { return weighted_sum(n, values, weights) * (weights ? 1 : weight); }

  // d_kernel (H, K), d_bias (K,): of all n rows, once all have run.
  void kernel_gradient(int n, T *d_kernel, T *d_bias) const {
    kernels<T>().project_backward(way_back(n, nullptr, d_logits, d_kernel, d_bias, nullptr, 0));
  }

 private:
  ProjectBackwardArgs<T> way_back(int n, const int32_t *rows, const T *d_z, T *d_kernel, T *d_bias, T *d_x, size_t ld) const {
    PlanView one_position_each{};
    one_position_each.values = n;
    return {CellKind::simple_rnn, K, H, one_position_each, last, size_t(H), rows, kernel, no_dropout, nullptr, nullptr, d_z,
            nullptr, d_kernel, d_bias, d_x, ld};
  }
};

}  // namespace unrolled
