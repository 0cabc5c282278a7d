// plan.h: which steps of a batch run, in which order and from which state (see kernels.h: PlanView).
#pragma once
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace unrolled {

struct Plan {
  int batch = 0, steps = 0, values = 0, prefix = 0, own = 0, initial = 0;
  bool reverse = false;
  std::vector<int32_t> order, offset, start, value, previous, final_row, last_row, bucket, by_value, frequent;
  int frequent_values = 0;
  std::vector<int32_t> shared;  // (B,) steps of each row that the shared prefix runs
  std::vector<uint8_t> mask;    // (B, T), or empty

  // (B, T) in running order: the row of the outputs that is seen at each step, 0 = blank.
  std::vector<int32_t> out_index() const;
  // Fill bucket and frequent, and by_value, which only the way back reads.
  void count_positions();
  void sort_positions();

  PlanView view() const {
    return {batch, steps, values, prefix, own, initial, order.data(), offset.data(), start.data(), value.data(),
            previous.data(), final_row.data(), last_row.data(), bucket.data(), by_value.data(),
            frequent_values, frequent.data()};
  }
};

// index (B, T): row of the projected table at each step, 0 <= index < values. mask (B, T) or null: false = the step does
// not run. lead (B,): first steps, in running order, that are the same trajectory for all rows. reverse: run from the last
// step to the first. row_states: every row has an initial state of its own.
Plan make_plan(const int32_t *index, const uint8_t *mask, const int32_t *lead, int batch, int steps, int values,
               bool reverse, bool row_states);

// bucket (n+1,) and by_value (m,): the places 0 .. m-1 sorted by value, in order within a value.
void sort_by_value(const int32_t *value, size_t m, int n, std::vector<int32_t> &bucket, std::vector<int32_t> &by_value);

}  // namespace unrolled
