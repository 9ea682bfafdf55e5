package tenant

import (
	"errors"
	"strconv"
	"strings"
)

// maxSchedule bounds the length of a schedule.
const maxSchedule = 100

// field is one of the five places of a schedule.
type field struct {
	name      string
	low, high int
	names     string // three letters each, lower case; the first stands for low
}

func fields() [5]field {
	return [5]field{
		{name: "minute", low: 0, high: 59},
		{name: "hour", low: 0, high: 23},
		{name: "day of month", low: 1, high: 31},
		{name: "month", low: 1, high: 12, names: "janfebmaraprmayjunjulaugsepoctnovdec"},
		{name: "day of week", low: 0, high: 6, names: "sunmontuewedthufrisat"},
	}
}

// CheckSchedule reports whether s is a schedule in the five-field form of cron(5): minute, hour, day of month, month,
// day of week, divided by single spaces. A field is * or a list of values and ranges a-b, each with an optional step
// /n; months and days of the week may be named by their first three letters; Sunday is 0. Nicknames (@daily),
// seconds and years are not taken, nor is a date that no year has. The error's text is for the user and repeats
// nothing of s.
func CheckSchedule(s string) error {
	if len(s) > maxSchedule {
		return errors.New("must have at most " + strconv.Itoa(maxSchedule) + " characters")
	}
	parts := strings.Split(s, " ")
	if len(parts) != 5 {
		return errors.New("must have five fields: minute, hour, day of month, month, day of week")
	}
	var sets [5]uint64
	for i, f := range fields() {
		set, ok := f.parse(parts[i])
		if !ok {
			return errors.New("has a wrong " + f.name)
		}
		sets[i] = set
	}
	if strings.HasPrefix(parts[4], "*") && !comes(sets[2], sets[3]) {
		return errors.New("names a date that no year has")
	}
	return nil
}

// parse returns the values of the field as a set of bits.
func (f field) parse(s string) (uint64, bool) {
	var set uint64
	for item := range strings.SplitSeq(s, ",") {
		span, stepText, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			var ok bool
			if step, ok = number(stepText); !ok || step < 1 || step > f.high {
				return 0, false
			}
		}
		low, high, ok := f.span(span)
		if !ok {
			return 0, false
		}
		if stepped && low == high && span != "*" {
			high = f.high // 5/15 means from 5 on
		}
		for v := low; v <= high; v += step {
			set |= 1 << v
		}
	}
	return set, true
}

func (f field) span(s string) (low, high int, ok bool) {
	if s == "*" {
		return f.low, f.high, true
	}
	from, to, ranged := strings.Cut(s, "-")
	if low, ok = f.value(from); !ok {
		return 0, 0, false
	}
	if !ranged {
		return low, low, true
	}
	high, ok = f.value(to)
	return low, high, ok && low <= high
}

func (f field) value(s string) (int, bool) {
	if len(s) == 3 {
		if i := strings.Index(f.names, strings.ToLower(s)); i >= 0 && i%3 == 0 {
			return f.low + i/3, true
		}
	}
	n, ok := number(s)
	return n, ok && n >= f.low && n <= f.high
}

// number reads one or two decimal digits and nothing else.
func number(s string) (int, bool) {
	if len(s) < 1 || len(s) > 2 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// comes reports whether one of the months has one of the days.
func comes(days, months uint64) bool {
	longest := [13]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for m := 1; m <= 12; m++ {
		if months&(1<<m) == 0 {
			continue
		}
		for d := 1; d <= longest[m]; d++ {
			if days&(1<<d) != 0 {
				return true
			}
		}
	}
	return false
}
