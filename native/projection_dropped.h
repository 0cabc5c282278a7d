// projection_dropped.h: x W + b under dropout of the input, and the way back. Value i is a position of its own: row rows[i]
// of the table times the mask of row owner[i] of the batch. There are M masks, 1 for all gates or G, one for each; gates with
// one mask go together, `part` of them.
#pragma once
#include "cells/cell.h"

namespace UNROLLED_LEVEL {

using unrolled::InputDropout;
using unrolled::ProjectArgs;
using unrolled::ProjectBackwardArgs;

// Parts that the values are cut into where each part adds up gradients of its own.
constexpr int parts_of(int values) { return values < 128 ? 1 : values / 64 < 16 ? values / 64 : 16; }

template <int G, class T> struct DroppedProjection {
  static constexpr int W = width<T>, rows_at_once = most_together;

  // The features of value i as the gates of mask m see them.
  static void masked_row(const InputDropout<T> &drop, const T *table, size_t ld, const int32_t *rows, int D, int i, int m,
                         T *out) {
    const T *x = table + size_t(rows ? rows[i] : i) * ld;
    const T *mask = drop.masks + (size_t(drop.owner[i]) * drop.count + m) * D;
    for (int k = 0; k < D; k++) out[k] = x[k] * mask[k];
  }

  static void forward(const ProjectArgs<T> &args) {
    const int H = args.H, Hp = round_up(H, W), N = G * Hp, D = args.D, M = args.drop.count, part = G / M;
    Scratch<T> panels(size_t(D) * N), bias(N);
    for (int m = 0; m < M; m++)
      pack_by_unit<T>(args.kernel, D, {H, G, m * part, part}, panels + size_t(m) * part * Hp * D);
    pack_row<T>(args.bias, {H, G, 0, G}, bias);
    unrolled::parallel_for((args.values + rows_at_once - 1) / rows_at_once, [&](int chunk) {
      const int first = chunk * rows_at_once;
      const int n = args.values - first < rows_at_once ? args.values - first : rows_at_once;
      Scratch<T> x(size_t(n) * D);
      T *a[rows_at_once], *z[rows_at_once];
      const T *init[rows_at_once];
      for (int r = 0; r < n; r++) a[r] = x + size_t(r) * D, z[r] = args.z + size_t(first + r) * N, init[r] = bias;
      for (int m = 0; m < M; m++) {
        for (int r = 0; r < n; r++) masked_row(args.drop, args.table, args.ld, args.rows, D, first + r, m, a[r]);
        for (int u = 0; u < Hp; u += W)
          rows_product<T>(part, n, a, panels + (size_t(m) * Hp + u) * part * D, D, init, z, size_t(u) * G + m * part * W);
      }
    });
  }

  // The columns of the gates of mask m out of a row packed [unit block][G][W], side by side [unit block][part][W].
  static void take_part(int Hp, int part, int m, const T *row, T *out) {
    for (int u = 0; u < Hp; u += W)
      memcpy(out + size_t(u) * part, row + size_t(u) * G + size_t(m) * part * W, sizeof(T) * part * W);
  }

  // d_kernel and d_bias from the gradients (n, G*Hp) of the positions, in segments as Projection::kernel_gradient.
  static void kernel_gradient(const ProjectBackwardArgs<T> &args, int Hp, const T *dz) {
    const int H = args.H, D = args.D, N = G * Hp, values = args.plan.values, M = args.drop.count, part = G / M;
    const size_t columns = size_t(part) * Hp, of_mask = size_t(D + 1) * columns, size = of_mask * M;
    const bool small = size * sizeof(T) <= (512 << 10);
    const int segments = small ? parts_of(values) : 1;
    Scratch<T> d(size * segments);
    memset(d, 0, sizeof(T) * size * segments);
    const auto add = [&](T *to, int m, int first, int last, int from, int until) {  // values, columns of the mask's gates
      constexpr int chunk = 64;
      Scratch<T> x(size_t(chunk) * D), copy(size_t(chunk) * columns);
      const T *a[chunk], *b[chunk];
      for (int v = first; v < last; v += chunk) {
        const int some = last - v < chunk ? last - v : chunk;
        for (int j = 0; j < some; j++) {
          masked_row(args.drop, args.table, args.ld, args.rows, D, v + j, m, x + size_t(j) * D);
          take_part(Hp, part, m, dz + size_t(v + j) * N, copy + j * columns);
          a[j] = x + size_t(j) * D, b[j] = copy + j * columns + from;
        }
        if (args.d_kernel) outer_product<T>(a, D, b, until - from, some, to + from, columns);
        if (args.d_bias) add_rows<T>(b, until - from, some, to + size_t(D) * columns + from);
      }
    };
    if (small) {
      unrolled::parallel_for(segments, [&](int s) {
        const int first = int(int64_t(values) * s / segments), last = int(int64_t(values) * (s + 1) / segments);
        for (int m = 0; m < M; m++) add(d + s * size + m * of_mask, m, first, last, 0, int(columns));
      });
      for (int s = 1; s < segments; s++)
        for (size_t j = 0; j < size; j++) d[j] += d[s * size + j];
    } else {
      constexpr int panel = 4 * panel_columns * W;
      const int panels = (int(columns) + panel - 1) / panel;
      unrolled::parallel_for(M * panels, [&](int j) {
        const int from = j % panels * panel, until = from + panel < int(columns) ? from + panel : int(columns);
        add(d + j / panels * of_mask, j / panels, 0, values, from, until);
      });
    }
    for (int m = 0; m < M; m++)
      for (int k = 0; k <= D; k++) {
        T *to = k < D ? (args.d_kernel ? args.d_kernel + size_t(k) * G * H : nullptr) : args.d_bias;
        if (to) unpack_row<T>(d + m * of_mask + size_t(k) * columns, {H, G, m * part, part}, to);
      }
  }

  // d_values (n, d_ld): the gradient of each position's features, before they were multiplied.
  static void input_gradient(const ProjectBackwardArgs<T> &args, int Hp, const T *dz) {
    const int H = args.H, D = args.D, Dp = round_up(D, W), N = G * Hp, values = args.plan.values;
    const int M = args.drop.count, part = G / M, columns = part * Hp;
    Scratch<T> panels(size_t(N) * Dp);
    for (int m = 0; m < M; m++)
      pack_transposed<T>(args.kernel, D, {H, G, m * part, part}, panels + size_t(m) * columns * Dp);
    unrolled::parallel_for((values + rows_at_once - 1) / rows_at_once, [&](int chunk) {
      const int first = chunk * rows_at_once, n = values - first < rows_at_once ? values - first : rows_at_once;
      Scratch<T> copy(size_t(n) * columns), d_x(size_t(n) * Dp);
      const auto a_row = [&](int i) { return copy + size_t(i) * columns; };
      const auto c_row = [&](int i) { return d_x + size_t(i) * Dp; };
      for (int r = 0; r < n; r++) memset(args.d_values + size_t(first + r) * args.d_ld, 0, sizeof(T) * args.d_ld);
      for (int m = 0; m < M; m++) {
        for (int r = 0; r < n; r++) take_part(Hp, part, m, dz + size_t(first + r) * N, copy + size_t(r) * columns);
        multiply_rows<T>(0, n, columns, Dp, panels + size_t(m) * columns * Dp, nullptr, a_row, c_row);
        for (int r = 0; r < n; r++) {
          const T *mask = args.drop.masks + (size_t(args.drop.owner[first + r]) * M + m) * D;
          T *to = args.d_values + size_t(first + r) * args.d_ld;
          for (int k = 0; k < D; k++) to[k] += mask[k] * d_x[size_t(r) * Dp + k];
        }
      }
    });
  }

  static void backward(const ProjectBackwardArgs<T> &args, int Hp, const T *dz) {
    if (args.d_kernel || args.d_bias) kernel_gradient(args, Hp, dz);
    if (args.d_values) input_gradient(args, Hp, dz);
  }
};

}  // namespace UNROLLED_LEVEL
