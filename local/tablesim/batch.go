package tablesim

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// parseBatch reads an entity group transaction: a multipart/mixed body with
// one change set, whose parts are HTTP requests
// (https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions).
func (s *Server) parseBatch(c *command, r *http.Request, body []byte) error {
	c.op = Batch
	if r.Method != http.MethodPost {
		return refuse(codeMethodNotAllowed)
	}
	outer, err := parts(r.Header.Get("Content-Type"), bytes.NewReader(body))
	if err != nil {
		return err
	}
	part, err := outer.NextRawPart()
	if err != nil {
		return refuse(codeInvalidInput)
	}
	if !strings.HasPrefix(part.Header.Get("Content-Type"), "multipart/mixed") {
		return refuse(codeNotImplemented)
	}
	inner, err := parts(part.Header.Get("Content-Type"), part)
	if err != nil {
		return err
	}
	for {
		p, err := inner.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return refuse(codeInvalidInput)
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return refuse(codeInvalidInput)
		}
		c.batch = append(c.batch, s.parseOperation(text, c.base))
	}
	if len(c.batch) == 0 {
		return refuse(codeInvalidInput)
	}
	if _, err := outer.NextRawPart(); err != io.EOF {
		return invalid("A batch holds one change set.")
	}
	return nil
}

func parts(contentType string, body io.Reader) (*multipart.Reader, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || media != "multipart/mixed" || parameters["boundary"] == "" {
		return nil, refuse(codeInvalidInput)
	}
	return multipart.NewReader(body, parameters["boundary"]), nil
}

// parseOperation reads one HTTP request of a change set. The body goes to the
// end of the part whatever Content-Length says, as the service has it.
func (s *Server) parseOperation(text []byte, base string) *command {
	c := &command{base: base, query: url.Values{}}
	c.malformed = func() error {
		r := textproto.NewReader(bufio.NewReader(bytes.NewReader(text)))
		line, err := r.ReadLine()
		if err != nil {
			return refuse(codeInvalidInput)
		}
		fields := strings.Split(line, " ")
		if len(fields) != 3 {
			return refuse(codeInvalidInput)
		}
		target, err := url.Parse(fields[1])
		if err != nil {
			return refuse(codeInvalidInput)
		}
		header, err := r.ReadMIMEHeader()
		if err != nil && err != io.EOF {
			return refuse(codeInvalidInput)
		}
		body, err := io.ReadAll(r.R)
		if err != nil {
			return refuse(codeInvalidInput)
		}
		path, err := s.resource(target.Path)
		if err != nil {
			return err
		}
		if c.level, err = parseMetadata(target.Query().Get("$format"), header.Get("Accept")); err != nil {
			return err
		}
		if err := c.parseEntity(fields[0], path, http.Header(header), body); err != nil {
			return err
		}
		if c.op == GetEntity || c.op == QueryEntities {
			return refuse(codeNotImplemented)
		}
		return nil
	}()
	return c
}

// executeBatch applies all operations or none.
func (s *Server) executeBatch(c *command) (*reply, error) {
	boundary := "changesetresponse_" + newGUID()
	var body bytes.Buffer
	err := s.store.update(func(t transaction) error {
		for i, one := range c.batch {
			stored, err := s.applyOne(t, c.batch, i)
			if err != nil {
				return at(i, err)
			}
			writePart(&body, boundary, one.reply(stored, s.config.Account))
		}
		return nil
	})
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		body.Reset()
		rep := s.failure(refused, newGUID())
		rep.header.Del("X-Ms-Error-Code") // the code of a part is in its body only
		writePart(&body, boundary, rep)
	case err != nil:
		return nil, err
	default:
		s.record.wrote(len(c.batch))
	}
	outer := "batchresponse_" + newGUID()
	text := "--" + outer + "\r\nContent-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n" +
		body.String() + "--" + boundary + "--\r\n--" + outer + "--\r\n"
	return newReply(http.StatusAccepted).content("multipart/mixed; boundary="+outer, []byte(text)), nil
}

func (s *Server) applyOne(t transaction, all []*command, i int) (*entity, error) {
	if i == maxBatchCommands-1 && len(all) > maxBatchCommands {
		return nil, invalid("The batch request operation exceeds the maximum 100 changes per change set.")
	}
	one := all[i]
	if one.malformed != nil {
		return nil, one.malformed
	}
	if !strings.EqualFold(one.table, all[0].table) || one.pk != all[0].pk {
		return nil, refuse(codeDifferentPartitions)
	}
	if slices.ContainsFunc(all[:i], func(c *command) bool { return c.rk == one.rk }) {
		return nil, refuse(codeDuplicateRow)
	}
	return one.apply(t, s.config.Now())
}

// at marks a refusal with the index of the operation that met it.
func at(i int, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	marked := *r
	marked.index, marked.indexed = i, true
	return &marked
}

// writePart writes an answer as one part of the change set's answer.
func writePart(b *bytes.Buffer, boundary string, r *reply) {
	fmt.Fprintf(b, "--%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n", boundary)
	fmt.Fprintf(b, "HTTP/1.1 %d %s\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nDataServiceVersion: 3.0;\r\n", r.status, http.StatusText(r.status))
	_ = r.header.Write(b) // into memory
	b.WriteString("\r\n")
	b.Write(r.body)
	b.WriteString("\r\n")
}
