package bench

import "slices"

// quantile returns the value below which a share q of all lies.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// median returns the middle, or what is between the two that are.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 || n%2 == 1 {
		return quantile(values, 0.5)
	}
	sorted := slices.Sorted(slices.Values(values))
	if sorted[n/2-1] == sorted[n/2] { // both may be infinite
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(1, len(values)))
}
