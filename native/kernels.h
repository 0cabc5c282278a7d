// kernels.h: what the bindings may ask of the compiled kernels, one table per instruction set and float type.
//
// Legend: B rows, T steps, D features in, H units, G gates. W lanes of a vector; Hp = H rounded up to W.
// A "packed" row of C columns groups is [unit block][group][W]: all gates of W units stand together.
// State rows are numbered: 0 is blank (zeros), 1 .. P the shared prefix, P+1 .. P+N the rows' own steps, and
// then the S initial states (one for all rows, or one a row). Steps ("positions") are numbered 0 .. P+N-1.
#pragma once
#include <cstddef>
#include <cstdint>

#include "threads.h"

namespace unrolled {

enum class Activation : int { tanh, sigmoid, relu, linear, hard_sigmoid, softsign };

enum class CellKind : int {
#define CELL(name, ...) name,
#include "cells.def"
#undef CELL
};

// Which steps run, in which order, from which state: made once a batch by plan.cpp.
struct PlanView {
  int batch, steps;          // B, T
  int values;                // n: rows of the projected table
  int prefix, own;           // P, N
  int initial;               // S
  const int32_t *order;      // (B,) rows by falling number of own steps
  const int32_t *offset;     // (B+1,) own steps of the q-th row of order: positions offset[q] .. offset[q+1]-1
  const int32_t *start;      // (B,) state row that the q-th row of order starts from
  const int32_t *value;      // (P+N,) row of the projected table that a position reads
  const int32_t *previous;   // (P+N,) state row before a position
  const int32_t *final_row;  // (B,) state row after the last step, by original row
  const int32_t *last_row;   // (B,) row of the outputs that the last step shows, by original row
  const int32_t *bucket;     // (n+1,) and
  const int32_t *by_value;   // (P+N,): positions sorted by value; those of value v are by_value[bucket[v]..bucket[v+1])
  int frequent_values;       // K: values that stand at many positions, and
  const int32_t *frequent;   // (n,) which of them a value is, or -1
};

// Whether the first cache holds a recurrent kernel beside what a step reads.
template <class T> constexpr bool kernel_is_near(size_t H, size_t gates) { return H * H * gates * sizeof(T) <= 48 << 10; }

constexpr int most_frequent_columns = 256;  // G*Hp up to which blocks of rows keep sums over frequent values
constexpr int most_frequent = 1024;         // there are not more frequent values
constexpr int frequent_from(size_t positions) {
  const size_t many = (positions + most_frequent - 1) / most_frequent;
  return many < 16 ? 16 : int(many);
}

// What the features of each value are multiplied by before the product with a gate's kernel.
template <class T> struct InputDropout {
  int count;             // M: 1 mask for all gates, or G
  const T *masks;        // (B, M, D), or null: none
  const int32_t *owner;  // (n,) row of the batch that a value belongs to
};

template <class T> struct ProjectArgs {
  CellKind cell;
  int H, D, values;
  const T *table;       // (V, ld)
  size_t ld;
  const int32_t *rows;  // (n,) or null
  const T *kernel;      // (D, G*H)
  const T *bias;        // (G*H,) or null
  InputDropout<T> drop;
  T *z;                 // out: (n, G*Hp) packed
};

template <class T> struct ForwardArgs {
  CellKind cell;
  Activation activation, recurrent_activation;
  int H;
  PlanView plan;
  const T *z;                 // (n, G*Hp) packed
  const T *recurrent_kernel;  // (H, G*H)
  const T *recurrent_bias;    // (G*H,) or null; GRU with reset_after only
  const T *h0, *c0;           // (S, H) or null: zeros
  const T *drop;              // (B, G, H) or null: what each gate's h_prev is multiplied by; then there is no prefix
  T *h, *c;                   // out: (state rows, Hp); see keep
  T *stash;                   // out: (P+N, slots*Hp) or null
  bool keep_h, keep_c;        // false: only blank, prefix and initial rows are kept
  T *final_h, *final_c;       // out: (B, H) by original row; final_c null where the cell has none
  T *last;                    // out: (B, H) output of the last step by original row
};

// Gradients of pre-activations in the order of values, for project_backward: what a pass forward and back at once leaves of
// the rows' own steps.
template <class T> struct Gathered {
  T *rows;             // out: (R, G*Hp), R <= P+N, packed as z; or null
  int32_t *first_row;  // out: (n+1,): rows first_row[v] .. first_row[v+1]-1 are those of value v's positions, in order; of a
                       // frequent value it is one row, their sum
  int32_t *place;      // room: (P+N,)
  int32_t *next;       // room: (n,)
};

// Numbers those rows (plan.cpp): fills first_row, and place (m,) with each position's row, or ~k where its value is the k-th
// frequent one; frequent (most_frequent,): those values. Returns how many are frequent.
int place_positions(const int32_t *value, size_t m, int n, int32_t *first_row, int32_t *place, int32_t *next, int32_t *frequent);

template <class T> struct BackwardArgs {
  CellKind cell;
  Activation activation, recurrent_activation;
  int H;
  PlanView plan;
  const T *recurrent_kernel;
  const T *drop;          // as in forward
  const T *h, *c;         // as forward left them, everything kept; with `gathered` only what is kept anyway
  T *stash;               // in: as forward left it; out: gradients of the pre-activations; with `gathered` the prefix's
  const T *d_outputs;     // (1+P+N, d_ld) or null: gradients of the output rows
  size_t d_ld;
  const T *d_last;        // (B, H) by original row, or null
  const T *d_final_h, *d_final_c;  // (B, H) by original row, or null
  T *d_recurrent_kernel;  // out: (H, G*H)
  T *d_recurrent_bias;    // out: (G*H,) or null
  T *d_h0, *d_c0;         // out: (S, H) or null
  T *d_h, *d_c;           // out: (1+P+N, Hp), what reached each state from above and from later steps, or null
  T *frequent;            // out: (K, G*Hp), sums of x's gradients over the positions of each frequent value, or null
  Gathered<T> gathered;   // instead of stash and frequent, in a pass forward and back at once
  void (*meanwhile)(void *);  // what another thread may do beside the shared prefix, or null
  void *context;
};

// What stands above a layer's last outputs: run(context, rows, n) turns those of n rows of the batch into gradients. It is
// called once for each row, from any thread.
struct Above {
  void (*run)(void *context, const int32_t *rows, int n);
  void *context;
};

template <class T> struct ProjectBackwardArgs {
  CellKind cell;
  int H, D;
  PlanView plan;
  const T *table;
  size_t ld;
  const int32_t *rows;
  const T *kernel;
  InputDropout<T> drop;  // as in project: every value has one position
  const T *stash;    // gradients of the pre-activations: of all positions, or
  const int32_t *first_row;  // (n+1,) as Gathered, if not null; or stash is null, and then
  const T *d_z;      // (n, G*H), the gradient of each value's projection
  const T *frequent; // (K, G*Hp), as backward gave it, or null
  T *d_kernel;       // out: (D, G*H) or null
  T *d_bias;         // out: (G*H,) or null
  T *d_values;       // out: (n, d_ld) or null, d_ld a multiple of W, >= D
  size_t d_ld;
};

template <class T> struct PoolView {
  int B, steps, F;
  const T *table;       // (V, ld)
  size_t ld;
  const int32_t *rows;  // (n,) or null
  const int32_t *index; // (B, T) into the n rows
  const uint8_t *mask;  // (B, T) or null, 0 = left out
};
template <class T> struct PoolArgs {
  PoolView<T> view;
  T *max, *ties;  // out: (B, F), and at how many steps the largest value stands; or null
  T *mean;        // out: (B, F) or null
};
template <class T> struct PoolBackwardArgs {
  PoolView<T> view;
  int values;                        // n
  const int32_t *bucket, *by_value;  // places (B*T) sorted by value, as in PlanView
  const T *max, *d_max;              // (B, F): gradients divided by ties; or null
  const T *d_mean;                   // (B, F): gradients divided by the steps kept; or null
  T *d_values;                       // out: (n, F)
};

template <class T> struct Kernels {
  int lanes;
  void (*project)(const ProjectArgs<T> &);
  void (*forward)(const ForwardArgs<T> &);
  void (*backward)(const BackwardArgs<T> &);
  void (*both)(const ForwardArgs<T> &, const BackwardArgs<T> &, const Above &);
  void (*project_backward)(const ProjectBackwardArgs<T> &);
  // The same as work that is not started yet; null where it cannot go on later.
  Work *(*project_later)(const ProjectArgs<T> &);
  Work *(*project_backward_later)(const ProjectBackwardArgs<T> &);
  // out (n, F) = sums of d (m, F) over the positions of each value; bucket and by_value as in PlanView.
  void (*collect)(int n, int F, const int32_t *bucket, const int32_t *by_value, const T *d, T *out);
  void (*pool)(const PoolArgs<T> &);
  void (*pool_backward)(const PoolBackwardArgs<T> &);
};

}  // namespace unrolled
