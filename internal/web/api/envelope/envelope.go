// Package envelope is the form of the scan API's answers: {success, data}, and pages with their place in a list.
//
// It holds no operation and knows no noun; packages scanapi and hookapi speak it.
package envelope

import (
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

// Envelope is the family's form of success.
type Envelope[T any] struct {
	Success bool `json:"success" doc:"Always true."`
	Data    T    `json:"data"`
}

// Out is an answer in the envelope.
type Out[T any] struct {
	Body Envelope[T]
}

// Created is an answer to a creation.
type Created[T any] struct {
	Location string `header:"Location"`
	Body     Envelope[T]
}

// OK wraps data.
func OK[T any](data T) *Out[T] { return &Out[T]{Body: Envelope[T]{Success: true, Data: data}} }

// Made wraps a new resource and says where it is.
func Made[T any](at string, data T) *Created[T] {
	return &Created[T]{Location: at, Body: Envelope[T]{Success: true, Data: data}}
}

// Pagination says where a page stands in its list.
type Pagination struct {
	Page          int    `json:"page" doc:"1-based; 1 where a cursor was given."`
	Limit         int    `json:"limit"`
	Total         *int   `json:"total" doc:"How many match, counted up to 10,000; null where counting would need a scan, and with a cursor."`
	TotalPages    *int   `json:"totalPages"`
	TotalIsCapped bool   `json:"totalIsCapped" doc:"There are more than total says."`
	NextCursor    string `json:"nextCursor,omitempty" doc:"Where the next page begins; absent on the last one."`
}

// Paging is how a caller asks for a page.
type Paging struct {
	Page   int    `query:"page" default:"1" minimum:"1" maximum:"10001" doc:"1-based page; pages reach 10,000 rows far, cursors reach all."`
	Limit  int    `query:"limit" default:"20" minimum:"1" maximum:"100" doc:"Rows a page."`
	Cursor string `query:"cursor" maxLength:"256" doc:"nextCursor of the page before; outranks page."`
}

// Request turns paging into what the store takes. filters binds the cursor to the list it came from.
func (p Paging) Request(org uid.Org, filters string) (page.Request, error) {
	if p.Cursor != "" {
		after, err := page.Parse(org, filters, p.Cursor)
		return page.Request{Limit: p.Limit, After: after}, err
	}
	offset := (p.Page - 1) * p.Limit
	if offset > page.MaxOffset {
		return page.Request{}, fault.Wrong("page", "reaches further than 10,000 rows; use nextCursor as cursor")
	}
	return page.Request{Limit: p.Limit, Offset: offset, WantTotal: true}, nil
}

// View says where the page stands that was read.
func (p Paging) View(org uid.Org, filters string, total page.Total, next page.Key) Pagination {
	v := Pagination{Page: p.Page, Limit: p.Limit, TotalIsCapped: total.Capped}
	if p.Cursor != "" {
		v.Page = 1
	}
	if total.Known {
		n := total.N
		pages := (n + p.Limit - 1) / p.Limit
		v.Total, v.TotalPages = &n, &pages
	}
	if !next.Zero() {
		v.NextCursor = page.Cursor(org, filters, next)
	}
	return v
}

// List returns s, an empty list where it is nil: an answer's lists are never null.
func List[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
