package await

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/smithy-go"
)

// stopped moves only when somebody sleeps.
type stopped struct{ now time.Time }

func (c *stopped) Now() time.Time { return c.now }

func (c *stopped) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return ctx.Err()
}

func TestPollLongSeesNothingMuchLaterThanAnEighthOfTheWait(t *testing.T) {
	t.Parallel()
	pace := Pace{First: 2 * time.Second, Max: 10 * time.Second}
	for wait, most := range map[time.Duration]int{0: 1, 3 * time.Second: 2, 15 * time.Second: 8, time.Minute: 20, 3 * time.Minute: 33, 10 * time.Minute: 76} {
		clock, looks := &stopped{}, 0
		start := clock.now
		err := PollLong(t.Context(), clock, pace, func(context.Context) (bool, error) {
			looks++
			return clock.now.Sub(start) >= wait, nil
		})
		lag := clock.now.Sub(start) - wait
		if err != nil || looks > most || lag > max(pace.First, min(pace.Max, wait/4)) {
			t.Errorf("a wait of %v takes %d looks and is seen %v late, %v", wait, looks, lag, err)
		}
	}
}

func TestPatienceIsForCallsThatWereNotAnswered(t *testing.T) {
	t.Parallel()
	start := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	throttled, lost := &smithy.GenericAPIError{Code: "RequestLimitExceeded"}, &smithy.GenericAPIError{Code: "InternalError"}
	p := Patience{For: time.Minute}
	for _, look := range []struct {
		at   time.Duration
		err  error
		want bool
	}{
		{0, throttled, true}, {59 * time.Second, lost, true}, {60 * time.Second, throttled, false}, // one minute without an answer
		{61 * time.Second, nil, false}, {120 * time.Second, throttled, true}, {121 * time.Second, throttled, false}, // counted from the answer
		{122 * time.Second, &smithy.GenericAPIError{Code: "UnauthorizedOperation"}, false}, {123 * time.Second, context.Canceled, false},
	} {
		if got := p.Outlasts(start.Add(look.at), look.err); got != look.want {
			t.Errorf("at %v, after %v, the wait goes on: %v, want %v", look.at, look.err, got, look.want)
		}
	}
	if none := (Patience{}); none.Outlasts(start, throttled) {
		t.Error("the zero value has patience")
	}
}

func TestPollLongLooksSoonOnce(t *testing.T) {
	t.Parallel()
	clock := &stopped{}
	var at []time.Duration
	start := clock.now
	err := PollLong(t.Context(), clock, Pace{Soon: 500 * time.Millisecond, First: 2 * time.Second, Max: 10 * time.Second}, func(context.Context) (bool, error) {
		at = append(at, clock.now.Sub(start))
		return len(at) == 3, nil
	})
	if want := []time.Duration{500 * time.Millisecond, 2500 * time.Millisecond, 4500 * time.Millisecond}; err != nil || !slices.Equal(at, want) {
		t.Errorf("looks at %v, want %v; %v", at, want, err)
	}
}
