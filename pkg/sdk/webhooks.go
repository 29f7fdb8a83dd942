package sdk

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Webhook has events posted to a URL: each is a [Change] without its workspace.
type Webhook struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	Kinds     []string  `json:"kinds" doc:"Kinds of events that it gets"`
	CreatedAt time.Time `json:"created_at"`
	Pending   int       `json:"pending" doc:"Deliveries that wait"`
	Dead      int       `json:"dead" doc:"Deliveries that were given up"`
}

// CreateWebhook asks for a webhook.
type CreateWebhook struct {
	Name string `json:"name" minLength:"1" maxLength:"32" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"lower-case letters, digits and hyphens"`
	URL  string `json:"url" minLength:"1" maxLength:"2000"`
	// Kinds of events that it gets; none is all.
	Kinds []string `json:"kinds,omitempty" maxItems:"20" enum:"workspace,build,agent,agent_metadata,ports,apps,node,template,template_version,user,token,provisioner_key,share,membership,link,webhook,policy"`
}

// CreatedWebhook is a new webhook; its secret is shown this once.
type CreatedWebhook struct {
	Webhook
	Secret string `json:"secret" doc:"What deliveries are signed with"`
}

// Delivery is one event on its way to a webhook.
type Delivery struct {
	ID         int64      `json:"id"`
	Version    int64      `json:"version"`
	Event      string     `json:"event" doc:"Kind and action: workspace.created"`
	Status     string     `json:"status" enum:"pending,delivered,dead"`
	Attempts   int        `json:"attempts"`
	Answer     int        `json:"answer,omitempty" doc:"HTTP status of the last attempt"`
	Error      string     `json:"error,omitempty" doc:"Of the last attempt"`
	CreatedAt  time.Time  `json:"created_at"`
	NextAt     *time.Time `json:"next_at" doc:"Of the next attempt; null when it is over"`
	FinishedAt *time.Time `json:"finished_at"`
	Payload    string     `json:"payload" doc:"What is posted"`
}

// Webhooks lists the webhooks.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	return collect(each[Webhook](ctx, c, ListOptions{}, nil, "webhooks"))
}

// CreateWebhook makes a webhook.
func (c *Client) CreateWebhook(ctx context.Context, req CreateWebhook) (w CreatedWebhook, err error) {
	err = c.do(ctx, http.MethodPost, &w, req, "webhooks")
	return w, err
}

// DeleteWebhook deletes a webhook with its deliveries.
func (c *Client) DeleteWebhook(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "webhooks", name)
}

// EachDelivery yields a webhook's deliveries, the newest first: those of a status,
// "" is any.
func (c *Client) EachDelivery(ctx context.Context, name, status string, o ListOptions) iter.Seq2[Delivery, error] {
	var q url.Values
	if status != "" {
		q = url.Values{"status": {status}}
	}
	return each[Delivery](ctx, c, o, q, "webhooks", name, "deliveries")
}

// Redeliver queues a delivery that is over once more.
func (c *Client) Redeliver(ctx context.Context, name string, id int64) (d Delivery, err error) {
	err = c.do(ctx, http.MethodPost, &d, nil, "webhooks", name, "deliveries", strconv.FormatInt(id, 10), "redeliver")
	return d, err
}

// Headers of a delivery. The event is its kind and action; the delivery's id is
// the same however often it is tried, so whoever keeps it handles each once.
const (
	SignatureHeader = "Adit-Signature"
	EventHeader     = "Adit-Event"
	DeliveryHeader  = "Adit-Delivery"
)

// ErrSignature is a delivery that is not what its sender signed, or not lately.
var ErrSignature = errors.New("the signature is not good")

// SignWebhook returns the signature of a body that is sent at a time:
// t=SECONDS,v1=HEX, where HEX is the HMAC-SHA256 of "SECONDS.BODY".
func SignWebhook(secret string, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(signature(secret, seconds, body))
}

// VerifyWebhook checks the signature header of a delivery's body, and that it
// was signed within tolerance of now: whoever replays an old one is found out.
func VerifyWebhook(secret, header string, body []byte, now time.Time, tolerance time.Duration) error {
	var seconds, v1 string
	for part := range strings.SplitSeq(header, ",") {
		switch k, v, _ := strings.Cut(strings.TrimSpace(part), "="); k {
		case "t":
			seconds = v
		case "v1":
			v1 = v
		}
	}
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no time in %.80q", ErrSignature, header)
	}
	given, err := hex.DecodeString(v1)
	if err != nil || !hmac.Equal(given, signature(secret, seconds, body)) {
		return ErrSignature
	}
	if d := now.Sub(time.Unix(at, 0)); d > tolerance || d < -tolerance {
		return fmt.Errorf("%w: it is %v old", ErrSignature, d)
	}
	return nil
}

func signature(secret, seconds string, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(seconds + "."))
	m.Write(body)
	return m.Sum(nil)
}
