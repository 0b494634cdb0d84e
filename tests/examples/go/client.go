// Buys the emails of a list over HTTP and puts them into a CRM (here: a JSON file). The standard library is enough.
//
//	go run client.go http://127.0.0.1:8787 TOKEN 789 790
//	go run client.go webhook SECRET_FILE MESSAGES    verifies messages of unlockd, one JSON object a line
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Contact is one contact of a request.
type Contact struct {
	PersonnelID string `json:"personnel_id"`
	Outcome     string `json:"outcome"`
	Email       string `json:"email"`
	ObtainedAt  string `json:"obtained_at"`
}

// Person is a row of the CRM.
type Person struct {
	Email      string `json:"email"`
	ObtainedAt string `json:"obtained_at"`
}

// Newer values replace older ones, never the other way round. RFC 3339 in UTC sorts as text.
func upsert(people map[string]Person, contacts []Contact) {
	for _, contact := range contacts {
		known, there := people[contact.PersonnelID]
		if contact.Outcome == "delivered" && (!there || known.ObtainedAt < contact.ObtainedAt) {
			people[contact.PersonnelID] = Person{contact.Email, contact.ObtainedAt}
		}
	}
}

type unlockd struct{ url, token string }

var client = http.Client{Timeout: 40 * time.Second}

// Without an answer, the same call again is safe: it has the same key.
func (u unlockd) call(path string, body any, key string, into any) error {
	last := fmt.Errorf("unlockd does not answer")
	for attempt := 0; attempt < 5; attempt++ {
		method, reader := http.MethodGet, io.Reader(nil)
		if body != nil {
			text, err := json.Marshal(body)
			if err != nil {
				return err
			}
			method, reader = http.MethodPost, bytes.NewReader(text)
		}
		request, err := http.NewRequest(method, u.url+"/api/v1"+path, reader)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+u.token)
		request.Header.Set("Content-Type", "application/json")
		if key != "" {
			request.Header.Set("Idempotency-Key", key)
		}
		answer, err := client.Do(request)
		if err != nil {
			last = err
		} else {
			text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
			answer.Body.Close()
			switch {
			case err == nil && answer.StatusCode < 300:
				return json.Unmarshal(text, into)
			case err == nil && answer.StatusCode < 500 && answer.StatusCode != 429:
				return fmt.Errorf("%s", text)
			}
		}
		time.Sleep(200 * time.Millisecond << attempt)
	}
	return last
}

func (u unlockd) enqueue(ids []string) (id int64, err error) {
	sorted := append([]string{}, ids...)
	sort.Strings(sorted)
	digest := sha256.Sum256([]byte(strings.Join(sorted, ",")))
	body := map[string]any{"personnel_ids": ids, "reference": "go over HTTP"}
	var found struct{ ID int64 }
	err = u.call("/requests", body, "list-"+hex.EncodeToString(digest[:16]), &found)
	return found.ID, err
}

func (u unlockd) wait(request int64) error {
	var changes struct {
		NextAfter int64 `json:"next_after"`
	}
	for end := time.Now().Add(time.Minute); ; {
		var found struct {
			Status     string
			FinishedAt *string `json:"finished_at"`
		}
		if err := u.call(fmt.Sprintf("/requests/%d", request), nil, "", &found); err != nil {
			return err
		}
		if found.FinishedAt != nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("request %d is %s", request, found.Status)
		}
		if err := u.call(fmt.Sprintf("/changes?after=%d&wait=5", changes.NextAfter), nil, "", &changes); err != nil {
			return err
		}
	}
}

func (u unlockd) contacts(request int64) (all []Contact, err error) {
	for cursor := int64(0); ; {
		var page struct {
			Contacts   []Contact
			NextCursor *int64 `json:"next_cursor"`
		}
		if err := u.call(fmt.Sprintf("/requests/%d/contacts?cursor=%d", request, cursor), nil, "", &page); err != nil {
			return nil, err
		}
		all = append(all, page.Contacts...)
		if page.NextCursor == nil {
			return all, nil
		}
		cursor = *page.NextCursor
	}
}

// Standard Webhooks: whether one of the secrets has signed the message, lately.
func verify(secrets []string, headers map[string]string, body string, now time.Time) bool {
	at, err := strconv.ParseInt(headers["webhook-timestamp"], 10, 64)
	if age := now.Sub(time.Unix(at, 0)); err != nil || age > 5*time.Minute || age < -5*time.Minute {
		return false
	}
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			continue
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.%s", headers["webhook-id"], at, body)
		for _, part := range strings.Fields(headers["webhook-signature"]) {
			given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(part, "v1,"))
			if err == nil && hmac.Equal(given, mac.Sum(nil)) {
				return true
			}
		}
	}
	return false
}

func webhooks(secretFile, messages string) error {
	secrets, err := os.ReadFile(secretFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(messages)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		var message struct {
			Headers map[string]string
			Body    string
		}
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			return err
		}
		all := strings.Fields(string(secrets))
		if !verify(all, message.Headers, message.Body, time.Now()) {
			return fmt.Errorf("a message is not good")
		}
		if verify(all, message.Headers, message.Body+" ", time.Now()) || verify(all, message.Headers, message.Body, time.Now().Add(time.Hour)) {
			return fmt.Errorf("a message that was changed, or is old, is taken")
		}
	}
	fmt.Println(len(lines), "messages are good")
	return nil
}

func buy(url, token string, ids []string) error {
	u := unlockd{strings.TrimRight(url, "/"), token}
	request, err := u.enqueue(ids)
	if err != nil {
		return err
	}
	if err := u.wait(request); err != nil {
		return err
	}
	contacts, err := u.contacts(request)
	if err != nil {
		return err
	}
	people := map[string]Person{}
	upsert(people, contacts)
	email := people[ids[0]].Email
	upsert(people, []Contact{{ids[0], "delivered", "new@example.com", "2001-01-01T00:00:00.000Z"}})
	if email == "" || people[ids[0]].Email != email {
		return fmt.Errorf("an older value has replaced a newer one")
	}
	text, err := json.Marshal(people)
	if err != nil {
		return err
	}
	fmt.Printf("request %d: %d contacts, %d people\n", request, len(contacts), len(people))
	return os.WriteFile("crm-go.json", text, 0o600)
}

func main() {
	if len(os.Args) < 4 {
		log.Fatal("go run client.go URL TOKEN ID...")
	}
	err := error(nil)
	if os.Args[1] == "webhook" {
		err = webhooks(os.Args[2], os.Args[3])
	} else {
		err = buy(os.Args[1], os.Args[2], os.Args[3:])
	}
	if err != nil {
		log.Fatal(err)
	}
}
