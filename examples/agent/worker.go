// Go, standard library only: acts while this pod is the active one.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

type state struct {
	Active      bool  `json:"active"`
	Term        int64 `json:"term"`
	ExpiresInMs int64 `json:"expiresInMs"`
	Sequence    int64 `json:"sequence"`
}

var base = strings.TrimSuffix(os.Getenv("SINGLETON_STATE_URL"), "/state")

// watch sends every state as it comes, and an inactive one when the agent is gone.
func watch(states chan<- state) {
	for {
		if answer, err := http.Get(base + "/watch"); err == nil {
			lines := bufio.NewScanner(answer.Body)
			for lines.Scan() {
				var next state
				text := lines.Text()
				if strings.HasPrefix(text, "data: ") && json.Unmarshal([]byte(text[len("data: "):]), &next) == nil {
					states <- next
				}
			}
			answer.Body.Close()
		}
		states <- state{}
		time.Sleep(200 * time.Millisecond)
	}
}

// post forgets the answer, and that there may be none.
func post(url string) {
	if answer, err := http.Post(url, "", nil); err == nil {
		answer.Body.Close()
	}
}

// work ends soon after ctx does. Give the term to whatever you write to: here it is appended to WRITE_URL, if there is one.
func work(ctx context.Context, term int64) {
	to := os.Getenv("WRITE_URL")
	for ctx.Err() == nil {
		fmt.Println("acts under term", term)
		if to != "" {
			post(fmt.Sprint(to, term))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func main() {
	states := make(chan state)
	go watch(states)
	cancel := func() {}
	var done chan struct{}
	var term int64
	deadline := time.NewTimer(time.Hour)
	stop := func() {
		cancel()
		if done != nil {
			<-done
		}
		done = nil
	}
	for {
		select {
		case <-deadline.C:
			stop()
		case next := <-states:
			if !next.Active || next.Term != term {
				stop()
			}
			if !next.Active {
				// Nothing acts here now: so another pod need not wait for a lease to expire.
				post(fmt.Sprintf("%s/stopped?term=%d&sequence=%d", base, next.Term, next.Sequence))
				continue
			}
			// Every renewal moves the deadline.
			deadline.Reset(time.Duration(next.ExpiresInMs) * time.Millisecond)
			if done == nil {
				term = next.Term
				done = make(chan struct{})
				ctx, end := context.WithCancel(context.Background())
				cancel = end
				go func(over chan struct{}) { work(ctx, next.Term); close(over) }(done)
			}
		}
	}
}
