package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
)

// webhooksCommand is what the sub-commands of `assay webhooks` share.
type webhooksCommand struct {
	IO

	server string
	json   bool
}

func webhooks(stdio IO) *cobra.Command {
	w := &webhooksCommand{IO: stdio}
	c := &cobra.Command{
		Use: "webhooks", Short: "Webhooks over the API: create, test, deliveries, replay and more",
		Long: "Webhooks over the API of a running server: who is told what, signed, and what came of it.\n" +
			"The server is --server or ASSAY_SERVER, the key is ASSAY_API_KEY.",
	}
	for _, sub := range []*cobra.Command{
		w.create(), w.list(), w.get(), w.update(), w.remove(), w.test(), w.rotate(), w.deliveries(), w.redeliver(), w.replay(),
	} {
		serverFlags(sub, &w.server)
		sub.Flags().BoolVar(&w.json, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

// over makes a command's run of what it does with the API.
func (w *webhooksCommand) over(do func(cmd *cobra.Command, api *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		api, err := w.client(w.server)
		if err != nil {
			return err
		}
		return do(cmd, api, args)
	}
}

func (w *webhooksCommand) create() *cobra.Command {
	var o client.WebhookOrder
	c := &cobra.Command{
		Use: "create URL", Short: "Register a webhook; its secret is shown once", Args: cobra.ExactArgs(1),
		Example: "  assay webhooks create https://hooks.example.org/assay --name build --event scan.completed --event scan.failed",
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			if o.URL = args[0]; o.Name == "" {
				o.Name = "webhook"
			}
			made, err := api.CreateWebhook(cmd.Context(), o)
			if err != nil {
				return err
			}
			return w.issued(made)
		}),
	}
	f := c.Flags()
	f.StringVar(&o.Name, "name", "", "a name for people")
	f.StringVar(&o.Description, "description", "", "what it is for")
	f.StringSliceVar(&o.Events, "event", nil, "an event type, scan.*, or *; may be given several times (default scan.completed, scan.failed)")
	return c
}

// issued prints a webhook with its secret.
func (w *webhooksCommand) issued(v client.Webhook) error {
	if w.json {
		return w.IO.json(v)
	}
	w.said("the secret is shown once; give it to the receiver now")
	w.table([]string{"ID", "SECRET"}, [][]string{{v.ID, v.Secret}})
	return nil
}

func (w *webhooksCommand) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List webhooks, newest first", Args: cobra.NoArgs,
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, _ []string) error {
			list, err := api.Webhooks(cmd.Context())
			if err != nil {
				return err
			}
			if w.json {
				return w.IO.json(list)
			}
			w.rows(list...)
			return nil
		}),
	}
}

func (w *webhooksCommand) rows(list ...client.Webhook) {
	rows := [][]string{}
	for _, v := range list {
		rows = append(rows, []string{v.ID, v.Name, webhookState(v), v.URL, strings.Join(v.Events, " "), when(v.LastDeliveryAt)})
	}
	w.table([]string{"ID", "NAME", "STATE", "URL", "EVENTS", "LAST DELIVERY"}, rows)
}

// webhookState is a webhook's state in a word or two.
func webhookState(v client.Webhook) string {
	switch {
	case !v.IsActive:
		return "disabled: " + v.DisabledReason
	case !v.IsHealthy:
		return "unhealthy"
	}
	return "active"
}

func (w *webhooksCommand) shown(v client.Webhook, err error) error {
	if err != nil {
		return err
	}
	if w.json {
		return w.IO.json(v)
	}
	w.rows(v)
	return nil
}

func (w *webhooksCommand) get() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one webhook", Args: cobra.ExactArgs(1),
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			return w.shown(api.Webhook(cmd.Context(), args[0]))
		}),
	}
}

func (w *webhooksCommand) update() *cobra.Command {
	var name, description, url string
	var events []string
	var enable, disable, hold bool
	c := &cobra.Command{
		Use: "update ID", Short: "Change, enable or disable a webhook", Args: cobra.ExactArgs(1),
		Example: "  assay webhooks update wh-… --enable",
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			if enable && disable {
				return usage{fmt.Errorf("--enable and --disable exclude each other")}
			}
			var p client.WebhookPatch
			given := cmd.Flags().Changed
			for flag, set := range map[string]func(){
				"name": func() { p.Name = &name }, "description": func() { p.Description = &description }, "url": func() { p.URL = &url },
				"event": func() { p.Events = &events }, "enable": func() { p.IsActive = &enable },
				"disable": func() { off := !disable; p.IsActive = &off }, "keep-held": func() { replay := !hold; p.ReplayHeld = &replay },
			} {
				if given(flag) {
					set()
				}
			}
			return w.shown(api.UpdateWebhook(cmd.Context(), args[0], p))
		}),
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "a new name")
	f.StringVar(&description, "description", "", "a new description")
	f.StringVar(&url, "url", "", "another address")
	f.StringSliceVar(&events, "event", nil, "the event types from now on")
	f.BoolVar(&enable, "enable", false, "deliver again, what was held first")
	f.BoolVar(&disable, "disable", false, "hold events instead of delivering them")
	f.BoolVar(&hold, "keep-held", false, "with --enable: leave what was held until a replay")
	return c
}

func (w *webhooksCommand) remove() *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "Delete a webhook with its deliveries", Args: cobra.ExactArgs(1),
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			if err := api.DeleteWebhook(cmd.Context(), args[0]); err != nil {
				return err
			}
			w.said("deleted %s", args[0])
			return nil
		}),
	}
}

func (w *webhooksCommand) test() *cobra.Command {
	return &cobra.Command{
		Use: "test ID", Short: "Send a signed test event now", Args: cobra.ExactArgs(1),
		Long: "Sends a signed event of type webhook.test and says what came of it. Exit code 1 where the receiver didn't take it.",
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			t, err := api.TestWebhook(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if w.json {
				err = w.IO.json(t)
			} else {
				w.table([]string{"TAKEN", "STATUS", "TOOK", "ERROR", "ANSWER"}, [][]string{{
					strconv.FormatBool(t.Success), statusNumber(t.Status), milliseconds(&t.DurationMs), t.Error, shorten(t.ResponseBody, 60),
				}})
			}
			if err == nil && !t.Success {
				return exit{exitBad}
			}
			return err
		}),
	}
}

func (w *webhooksCommand) rotate() *cobra.Command {
	var overlap int
	c := &cobra.Command{
		Use: "rotate ID", Short: "Give a webhook a new secret; it is shown once", Args: cobra.ExactArgs(1),
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			v, err := api.RotateWebhookSecret(cmd.Context(), args[0], overlap)
			if err != nil {
				return err
			}
			if v.PreviousExpiresAt != nil && !w.json {
				w.said("the old secret signs too until %s", when(v.PreviousExpiresAt))
			}
			return w.issued(v)
		}),
	}
	c.Flags().IntVar(&overlap, "overlap", 24, "hours for which the old secret signs too, 0–168")
	return c
}

func (w *webhooksCommand) deliveries() *cobra.Command {
	var q client.DeliveryQuery
	c := &cobra.Command{
		Use: "deliveries ID [DELIVERY]", Short: "List a webhook's deliveries, or show one with every try", Args: cobra.RangeArgs(1, 2),
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			if len(args) == 2 {
				d, err := api.Delivery(cmd.Context(), args[0], args[1])
				return w.one(d, err)
			}
			page, err := api.Deliveries(cmd.Context(), args[0], q)
			if err != nil {
				return err
			}
			if w.json {
				return w.IO.json(page)
			}
			rows := [][]string{}
			for _, d := range page.Deliveries {
				rows = append(rows, deliveryRow(d))
			}
			w.table(deliveryHeader(), rows)
			if page.Pagination.NextCursor != "" {
				w.said("more: --cursor %s", page.Pagination.NextCursor)
			}
			return nil
		}),
	}
	f := c.Flags()
	f.StringVar(&q.Status, "status", "", "only pending, delivered, failed or held")
	f.StringVar(&q.Event, "event", "", "only this event type")
	f.IntVar(&q.Limit, "limit", 20, "how many, at most 100")
	f.StringVar(&q.Cursor, "cursor", "", "go on after an earlier page")
	return c
}

func deliveryHeader() []string {
	return []string{"ID", "EVENT", "STATE", "TRIES", "CREATED", "STATUS", "TOOK", "NEXT", "ERROR"}
}

func deliveryRow(d client.Delivery) []string {
	return []string{
		d.ID, d.Event, d.Status, strconv.Itoa(d.Attempts), when(&d.CreatedAt), statusNumber(d.ResponseStatus), milliseconds(d.DurationMs),
		when(d.NextAttemptAt), d.Error,
	}
}

// one prints a delivery with its request and its tries.
func (w *webhooksCommand) one(d client.Delivery, err error) error {
	if err != nil {
		return err
	}
	if w.json {
		return w.IO.json(d)
	}
	w.table(deliveryHeader(), [][]string{deliveryRow(d)})
	rows := [][]string{}
	for _, t := range d.Tries {
		rows = append(rows, []string{strconv.Itoa(t.Attempt), when(&t.At), statusNumber(t.ResponseStatus), milliseconds(&t.DurationMs), t.Error, shorten(t.ResponseBody, 60)})
	}
	if len(rows) > 0 {
		w.table([]string{"TRY", "AT", "STATUS", "TOOK", "ERROR", "ANSWER"}, rows)
	}
	if d.Request != nil {
		fmt.Fprintf(w.Out, "\nPOST %s\n%s: %s\n\n%s\n", printable(d.Request.URL), "webhook-id", printable(d.EventID), printableLines(d.Request.Body))
	}
	return nil
}

func (w *webhooksCommand) redeliver() *cobra.Command {
	return &cobra.Command{
		Use: "redeliver ID DELIVERY", Short: "Deliver an event again, with the same id and bytes", Args: cobra.ExactArgs(2),
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			d, err := api.Redeliver(cmd.Context(), args[0], args[1])
			return w.one(d, err)
		}),
	}
}

func (w *webhooksCommand) replay() *cobra.Command {
	var status, from, to string
	c := &cobra.Command{
		Use: "replay ID", Short: "Deliver what was held, or what has failed", Args: cobra.ExactArgs(1),
		RunE: w.over(func(cmd *cobra.Command, api *client.Client, args []string) error {
			r, err := api.Replay(cmd.Context(), args[0], status, from, to)
			if err != nil {
				return err
			}
			if w.json {
				return w.IO.json(r)
			}
			w.said("%d deliveries are on their way", r.Deliveries)
			if r.More {
				w.said("there are more; replay again")
			}
			return nil
		}),
	}
	f := c.Flags()
	f.StringVar(&status, "status", "held", "held or failed")
	f.StringVar(&from, "from", "", "made at or after: RFC 3339, or a date")
	f.StringVar(&to, "to", "", "made before: RFC 3339; a date is inclusive")
	return c
}

func statusNumber(n *int) string {
	if n == nil {
		return "–"
	}
	return strconv.Itoa(*n)
}

func milliseconds(ms *float64) string {
	if ms == nil {
		return "–"
	}
	return time.Duration(*ms * float64(time.Millisecond)).Round(100 * time.Microsecond).String()
}
