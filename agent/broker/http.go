package broker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"bakehouse/internal/enrol"
)

// Limits bound what the broker does at once.
type Limits struct {
	PerSecond float64       // requests a second that anybody is asked about, in the long run
	Burst     int           // and at once
	Timeout   time.Duration // of one request, with all that it asks
}

// service is a Broker behind HTTP.
type service struct {
	broker *Broker
	limits Limits
	log    *slog.Logger
	bucket bucket
	now    func() time.Time
}

// Handler serves POST enrol.Path and GET /healthz. Every request that was
// judged leaves one line in the log that says who, which key and how it ended;
// neither a posted URL nor a document is logged.
func Handler(b *Broker, l Limits, log *slog.Logger) http.Handler {
	s := &service{broker: b, limits: l, log: log, now: b.world.Now, bucket: bucket{rate: l.PerSecond, size: float64(l.Burst), tokens: float64(l.Burst)}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+enrol.Path, s.register)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.say(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	return mux
}

func (s *service) register(w http.ResponseWriter, r *http.Request) {
	began := s.now()
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.Timeout)
	defer cancel()
	who, made, err := s.judge(ctx, w, r)
	s.audit(r, who, made, err, s.now().Sub(began))
	var refused *Refusal
	switch {
	case err == nil && made:
		s.say(w, http.StatusCreated, enrol.Answer{Client: who.Client, Made: true})
	case err == nil:
		s.say(w, http.StatusOK, enrol.Answer{Client: who.Client})
	case errors.As(err, &refused):
		if refused.Reason == TooMany {
			w.Header().Set("Retry-After", strconv.Itoa(s.bucket.wait()))
		}
		s.say(w, refused.Status(), enrol.Answer{Reason: string(refused.Reason), Error: refused.Text})
	default: // what failed here is for the log, not for whoever asks
		s.say(w, http.StatusServiceUnavailable, enrol.Answer{Error: "the broker cannot judge the request now"})
	}
}

func (s *service) judge(ctx context.Context, w http.ResponseWriter, r *http.Request) (Who, bool, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, enrol.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return Who{}, false, refuse(TooLarge, "the body has more than %d bytes", enrol.MaxBody)
	case err != nil:
		return Who{}, false, refuse(BadRequest, "the body ended early")
	}
	req, err := ParseRequest(body)
	if err != nil {
		return Who{}, false, err
	}
	return s.broker.Register(ctx, req, s.take)
}

// take refuses more requests than the broker takes.
func (s *service) take() error {
	if s.bucket.take(s.now()) {
		return nil
	}
	return refuse(TooMany, "the broker takes %g requests a second", s.limits.PerSecond)
}

// audit writes the one line that says what came of a request.
func (s *service) audit(r *http.Request, who Who, made bool, err error, took time.Duration) {
	outcome, level := "registered", slog.LevelInfo
	fields := []any{"source", r.RemoteAddr, "instance", who.Instance, "account", who.Account, "region", who.Region,
		"role", who.Role, "client", who.Client, "key_sha256", who.Key, "ms", took.Milliseconds()}
	var refused *Refusal
	switch {
	case errors.As(err, &refused):
		outcome, level = "refused", slog.LevelWarn
		fields = append(fields, "reason", string(refused.Reason), "error", refused.Text)
	case err != nil:
		outcome, level = "failed", slog.LevelError
		fields = append(fields, "error", err.Error())
	case !made:
		outcome = "known"
	}
	s.log.Log(r.Context(), level, "registration "+outcome, append([]any{"outcome", outcome}, fields...)...)
}

func (s *service) say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who left has no use for it
}

// bucket is a token bucket.
type bucket struct {
	mu         sync.Mutex
	rate, size float64
	tokens     float64
	last       time.Time
}

// take takes a token, if there is one.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.tokens = min(b.size, b.tokens+b.rate*max(0, now.Sub(b.last).Seconds()))
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// wait is how many whole seconds it takes until there is a token.
func (b *bucket) wait() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(max(0, 1-b.tokens)/b.rate) + 1
}
