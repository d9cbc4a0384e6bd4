package activity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// The activity log is a chain for each subscription and UTC day. docs/audit.md
// describes it for those who check it without this program.
const (
	headRows = "head|"
	// chainFormat is that of the encoding below. It is raised when the encoding changes.
	chainFormat = 2
	genesisText = "portcullis activity log 2"
	// noSubscription is in the key of a head what "" is in a chain.
	noSubscription = "-"
)

// chainID names a chain: a day's partition, and the subscription in lower case, "" for
// entries that concern none.
type chainID struct {
	partition, date, subscription string
}

func chainAt(subscription string, t time.Time) chainID {
	return chainID{entity.Day(t), t.UTC().Format(time.DateOnly), strings.ToLower(subscription)}
}

// headKey gives the row of the chain's head.
func (c chainID) headKey() string {
	if c.subscription == "" {
		return headRows + noSubscription
	}
	return headRows + entity.Safe(c.subscription)
}

// genesis gives the hash before the first entry. It names the chain, so that no day can
// be shown for another, nor one subscription's for another's.
func (c chainID) genesis() []byte {
	sum := sha256.Sum256([]byte(genesisText + "\n" + c.subscription + "\n" + c.date))
	return sum[:]
}

// headDoc names the last entry of a chain. It is written in the same transaction as the
// entry, on the condition of its ETag, which puts the entries in one order.
type headDoc struct {
	V            int
	Subscription string
	Date         string
	Seq          int
	Hash         string
}

func (c chainID) head(seq int, hash []byte) headDoc {
	return headDoc{V: entity.Version, Subscription: c.subscription, Date: c.date, Seq: seq, Hash: hex.EncodeToString(hash)}
}

// canonical gives the bytes that an entry adds to the chain, but for its place: a netstring
// (https://cr.yp.to/proto/netstrings.txt) for each field.
func (d entryDoc) canonical() []byte {
	var ports []string
	for _, p := range d.Ports {
		ports = append(ports, strconv.Itoa(int(p)))
	}
	return netstrings(d.ID, d.Time.Text(), d.Operation, d.Result, d.VM, d.Target, d.Requestor, d.Tenant, d.Object, d.Kind, d.Client, d.SignIn, d.Address, d.Grant, string(netstrings(ports...)),
		string(netstrings(d.Sources...)), d.End.Text(), d.Justification, d.Reason, d.Message, d.Correlation)
}

func netstrings(texts ...string) []byte {
	var out []byte
	for _, t := range texts {
		out = strconv.AppendInt(out, int64(len(t)), 10)
		out = append(append(append(out, ':'), t...), ',')
	}
	return out
}

// link gives the hash of an entry: of the hash before it, the format, its place, and itself.
func link(before []byte, seq int, canonical []byte) []byte {
	h := sha256.New()
	h.Write(before)
	h.Write(netstrings(strconv.Itoa(chainFormat), strconv.Itoa(seq)))
	h.Write(canonical)
	return h.Sum(nil)
}

// asRead gives the document as it will be read: what is not text is replaced in writing.
func (d entryDoc) asRead() (entryDoc, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return d, err
	}
	var out entryDoc
	err = json.Unmarshal(text, &out)
	return out, err
}

// subscriptionOf gives the subscription that an entry concerns, "" for none.
func subscriptionOf(e store.Entry) string {
	if e.VM.Subscription != "" {
		return strings.ToLower(e.VM.Subscription)
	}
	return strings.ToLower(e.Target.Subscription)
}
