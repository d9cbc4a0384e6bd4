package bussim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"portcullis/local/bussim/amqp"
)

const sasPrefix = "SharedAccessSignature "

// authorized reports whether a live token of this connection covers path.
func (c *conn) authorized(path string) bool {
	if c.trusted {
		return true
	}
	path = strings.ToLower(path)
	now := c.broker.config.Now()
	for claim, expiry := range c.claims {
		if covers(claim, path) && expiry.After(now) {
			return true
		}
	}
	return false
}

// covers reports whether a claim for one path grants another: itself, or one
// below it. The empty path is the whole namespace.
func covers(claim, path string) bool {
	return claim == "" || claim == path || strings.HasPrefix(path, claim+"/")
}

// audiencePath returns what follows the authority of a URI, lower-case and
// without /$management, for which clients put a token of its own.
func audiencePath(audience string) string {
	_, rest, found := strings.Cut(audience, "://")
	if !found {
		return strings.ToLower(strings.Trim(audience, "/"))
	}
	_, path, _ := strings.Cut(rest, "/")
	path = strings.ToLower(strings.Trim(path, "/"))
	return strings.TrimSuffix(path, managementSuffix)
}

// putToken verifies a token outside of the mutex, as verifying may ask a
// server for keys, and answers then.
func (l *link) putToken(r request) {
	c := l.session.conn
	audience, _ := r.props.Lookup("name").(string)
	kind, _ := r.props.Lookup("type").(string)
	token, _ := r.body.(string)
	if r.operation != "put-token" || audience == "" || token == "" {
		l.answer(r, response{status: 400, text: "put-token needs a name and a token"})
		return
	}
	if len(c.claims) >= maxSessions {
		l.answer(r, response{status: 400, text: "too many claims on one connection"})
		return
	}
	stated, _ := r.props.Lookup("expiration").(string)
	c.later = append(c.later, func() {
		expiry, err := c.broker.verify(kind, token, audience, stated)
		c.broker.mu.Lock()
		defer c.broker.mu.Unlock()
		if err == nil && !expiry.After(c.broker.config.Now()) {
			err = errors.New("the token has expired")
		}
		if err != nil {
			c.broker.config.Log.Info("token refused", "audience", audience, "err", err)
			l.answer(r, response{status: 401, text: "Unauthorized: " + err.Error(), condition: "amqp:unauthorized-access"})
			return
		}
		c.claims[audiencePath(audience)] = expiry
		l.answer(r, response{status: 202, text: "Accepted"})
	})
}

// verify returns until when a token grants its audience.
func (b *Broker) verify(kind, token, audience, stated string) (time.Time, error) {
	switch kind {
	case "servicebus.windows.net:sastoken":
		return b.verifySAS(token, audience)
	case "jwt":
		if b.config.VerifyToken == nil {
			return time.Time{}, errors.New("no JSON Web Tokens are accepted here")
		}
		if err := b.config.VerifyToken(b.ctx, token, audience); err != nil {
			return time.Time{}, err
		}
		return jwtExpiry(token, stated)
	}
	return time.Time{}, fmt.Errorf("token type %q is not known", kind)
}

// verifySAS checks a shared access signature. The key is used as the bytes of
// its text, not base64-decoded.
func (b *Broker) verifySAS(token, audience string) (time.Time, error) {
	if !strings.HasPrefix(token, sasPrefix) {
		return time.Time{}, errors.New("not a shared access signature")
	}
	raw := make(map[string]string)
	for part := range strings.SplitSeq(token[len(sasPrefix):], "&") {
		k, v, _ := strings.Cut(part, "=")
		raw[k] = v
	}
	resource, err1 := url.QueryUnescape(raw["sr"])
	sig, err2 := url.QueryUnescape(raw["sig"])
	name, err3 := url.QueryUnescape(raw["skn"])
	given, err4 := base64.StdEncoding.DecodeString(sig)
	seconds, err5 := strconv.ParseInt(raw["se"], 10, 64)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return time.Time{}, fmt.Errorf("malformed shared access signature: %w", err)
	}
	secret, known := b.config.Keys[name]
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(raw["sr"] + "\n" + raw["se"]))
	if !known || !hmac.Equal(mac.Sum(nil), given) {
		return time.Time{}, errors.New("invalid signature")
	}
	if !covers(audiencePath(resource), audiencePath(audience)) {
		return time.Time{}, errors.New("the signature is for another resource")
	}
	return time.Unix(seconds, 0), nil
}

// jwtExpiry is the earlier of the exp claim of a verified token and the
// expiration stated beside it, which the JavaScript SDK leaves out.
func jwtExpiry(token, stated string) (time.Time, error) {
	var found []time.Time
	if s, err := strconv.ParseInt(stated, 10, 64); err == nil {
		found = append(found, time.Unix(s, 0))
	}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		var claims struct {
			Exp float64 `json:"exp"`
		}
		b, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(b, &claims) == nil && claims.Exp > 0 {
			found = append(found, time.Unix(int64(claims.Exp), 0))
		}
	}
	switch {
	case len(found) == 0:
		return time.Time{}, errors.New("the token names no expiry")
	case len(found) == 2 && found[1].Before(found[0]):
		return found[1], nil
	}
	return found[0], nil
}

// request is a message to $cbs or to a $management node.
type request struct {
	id        any // message-id
	replyTo   string
	operation string
	props     amqp.Map
	body      any
}

// response is the answer to a request.
type response struct {
	status    int32
	text      string
	condition string
	body      any
}

// request decodes a request and lets do answer it.
func (l *link) request(b []byte, do func(request)) error {
	sections, err := amqp.Sections(b)
	if err != nil {
		return problem("amqp:decode-error", "%v", err)
	}
	var r request
	for _, s := range sections {
		switch s.Code {
		case amqp.CodeProperties:
			f := amqp.Fields(s.Value.(amqp.List))
			r.id, r.replyTo = f.At(0), f.Text(4)
		case amqp.CodeApplicationProperties:
			r.props = s.Value.(amqp.Map)
		case amqp.CodeValue:
			r.body = s.Value
		}
	}
	r.operation, _ = amqp.Text(r.props.Lookup("operation"))
	if l.replyLink(r) == nil {
		return problem("amqp:precondition-failed", "no link takes replies to %q", r.replyTo)
	}
	do(r)
	return nil
}

// replyLink finds the link for a reply by its target address or, as the
// JavaScript SDK wants for $cbs, by its name.
func (l *link) replyLink(r request) *link {
	sessions := []*session{l.session}
	for _, s := range l.session.conn.sessions {
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		for _, other := range s.links {
			if other.out && other.role == l.role && other.entity == l.entity &&
				(other.replyTo == r.replyTo || other.name == r.replyTo) {
				return other
			}
		}
	}
	return nil
}

// answer replies to r. Clients take only an int32 status and a correlation-id
// of the type of their message-id. $cbs spells its keys with dashes.
func (l *link) answer(r request, a response) {
	out := l.replyLink(r)
	if out == nil {
		return // the client is gone
	}
	status, text := "statusCode", "statusDescription"
	if l.role == roleCBS {
		status, text = "status-code", "status-description"
	}
	props := amqp.Map{{Key: status, Value: a.status}, {Key: text, Value: strings.ToValidUTF8(a.text, "?")}}
	if a.condition != "" {
		props = props.With("errorCondition", amqp.Symbol(a.condition))
	}
	b := amqp.Append(nil, amqp.New(amqp.CodeProperties, nil, nil, nil, nil, nil, r.id))
	b = amqp.Append(b, amqp.Described{Descriptor: amqp.CodeApplicationProperties, Value: props})
	out.reply(amqp.Append(b, amqp.Described{Descriptor: amqp.CodeValue, Value: a.body}))
}
