// Arithmetic on measurements.
#pragma once

#include <vector>

namespace load {

struct Sample {
  double x = 0;  // which cycle
  double y = 0;
};

// By how much y grows with each x: the slope of the line of least squares. 0 with fewer than two samples.
double Slope(const std::vector<Sample>& samples);

// The sample with the least y of each `width` of x.
std::vector<Sample> Lows(const std::vector<Sample>& samples, double width);

// The value that `part` (0 to 1) of the values are below; 0 when there is none.
double Quantile(std::vector<double> values, double part);

}  // namespace load
