// Command hooks is a webhook receiver for the tests: it records what is posted to it and answers what it was told to.
//
//	POST /hook-recorder/hooks/COMMAND    recorded; answered with the set answer, or "go on"
//	PUT  /hook-recorder/answers/COMMAND  sets the answer: {"status": 200, "body": {…}, "delayMs": 0}
//	GET  /hook-recorder/recorded         everything recorded, oldest first
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"sync"
	"time"
)

type record struct {
	Command   string          `json:"command"`
	Query     string          `json:"query"`
	Operation string          `json:"operationID"`
	Signature string          `json:"signature"`
	Timestamp string          `json:"timestamp"`
	SignedAll string          `json:"signedAll"`
	Text      string          `json:"text"`
	Body      json.RawMessage `json:"body"`
}

type answer struct {
	Status  int             `json:"status"`
	Body    json.RawMessage `json:"body"`
	DelayMS int             `json:"delayMs"`
}

const limit = 1 << 20

func main() {
	var lock sync.Mutex
	var recorded []record
	answers := map[string]answer{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hook-recorder/hooks/{command}", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(io.LimitReader(r.Body, limit))
		if err != nil || !json.Valid(text) {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		lock.Lock()
		recorded = append(recorded, record{
			Command: r.PathValue("command"), Query: r.URL.RawQuery, Operation: r.Header.Get("operationID"),
			Signature: r.Header.Get("x-openim-signature"), Timestamp: r.Header.Get("x-openim-timestamp"),
			SignedAll: r.Header.Get("x-openim-signature-v2"), Text: string(text), Body: text,
		})
		told, known := answers[r.PathValue("command")]
		lock.Unlock()
		if !known {
			told = answer{Status: http.StatusOK, Body: json.RawMessage(`{"actionCode":0,"nextCode":0}`)}
		}
		time.Sleep(time.Duration(told.DelayMS) * time.Millisecond)
		w.Header().Set("content-type", "application/json")
		w.WriteHeader(told.Status)
		_, _ = w.Write(told.Body)
	})
	mux.HandleFunc("PUT /hook-recorder/answers/{command}", func(w http.ResponseWriter, r *http.Request) {
		told := answer{Status: http.StatusOK}
		if err := json.NewDecoder(io.LimitReader(r.Body, limit)).Decode(&told); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		answers[r.PathValue("command")] = told
	})
	mux.HandleFunc("GET /hook-recorder/recorded", func(w http.ResponseWriter, _ *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(append([]record{}, recorded...))
	})
	log.Fatal(http.ListenAndServe(":8080", mux))
}
