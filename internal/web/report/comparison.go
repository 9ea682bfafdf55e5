package report

import (
	"encoding/csv"
	"io"

	"assay.dev/assay/internal/scan/comparison"
)

// ComparisonCSV writes a comparison as CSV writes results, with the change in front.
func ComparisonCSV(w io.Writer, each func(f func(comparison.Item) error) error) error {
	out := csv.NewWriter(w)
	if err := out.Write(append([]string{"change"}, columns()...)); err != nil {
		return err
	}
	err := each(func(item comparison.Item) error {
		row := append([]string{string(item.Change)}, cells(NewFinding(item.Result))...)
		for i, c := range row {
			row[i] = Cell(c)
		}
		return out.Write(row)
	})
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}
