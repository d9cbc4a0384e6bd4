package entity

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/store"
)

const Dependency = "Table Storage"

// Translate gives an error of the SDK in the terms of core/store. What is
// not an answer of the service (a lost connection, a token that could not be had, a
// context that ended) is *store.Unavailable.
func Translate(err error) error {
	if err == nil {
		return nil
	}
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return &store.Unavailable{Dependency: Dependency, Err: err}
	}
	status, code := answer.StatusCode, answer.ErrorCode
	if inner, ok := failedPart(answer); ok {
		status, code = inner.status, inner.code
	}
	switch {
	case code == string(aztables.TableNotFound):
		// Not ErrNotFound: a missing table does not mean that there is no policy.
		return &store.Unavailable{Dependency: Dependency, Err: fmt.Errorf("a table is missing; the app creates its tables when it starts: %w", err)}
	case status == http.StatusPreconditionFailed, status == http.StatusConflict && code == string(aztables.EntityAlreadyExists):
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %w", store.ErrNotFound, err)
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return fmt.Errorf("%w: %w", store.ErrForbidden, err)
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return &store.Unavailable{Dependency: Dependency, RetryAfter: retryAfter(answer), Err: err}
	}
	return err
}

// CodeOf gives the service's code in an error, "" where there is none.
func CodeOf(err error) string {
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return ""
	}
	return answer.ErrorCode
}

func retryAfter(answer *azcore.ResponseError) time.Duration {
	if answer.RawResponse == nil {
		return 0
	}
	seconds, err := strconv.Atoi(answer.RawResponse.Header.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > 3600 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// part is the answer to one operation of a transaction.
type part struct {
	status int
	code   string
	etag   azcore.ETag
}

// failedPart finds the operation that made a transaction fail. The answer as a
// whole is 202 even then, and the SDK's error repeats that status with no code; what
// happened stands in the body only.
func failedPart(answer *azcore.ResponseError) (part, bool) {
	if answer.RawResponse == nil || answer.StatusCode != http.StatusAccepted {
		return part{}, false
	}
	parts, err := partsOf(answer.RawResponse)
	if err != nil {
		return part{}, false
	}
	for _, p := range parts {
		if p.status >= 400 {
			return p, true
		}
	}
	return part{}, false
}

// partsOf reads the answers to the operations of a transaction, in their order.
// The SDK reads them too but keeps neither ETags nor codes.
func partsOf(resp *http.Response) ([]part, error) {
	body, err := runtime.Payload(resp)
	if err != nil {
		return nil, err
	}
	outer, err := openMultipart(resp.Header.Get("Content-Type"), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	changeset, err := outer.NextPart()
	if err != nil {
		return nil, err
	}
	inner, err := openMultipart(changeset.Header.Get("Content-Type"), changeset)
	if err != nil {
		return nil, err
	}
	var parts []part
	for {
		one, err := inner.NextPart()
		if errors.Is(err, io.EOF) {
			if len(parts) == 0 {
				return nil, errors.New("read a transaction's answer: it is empty")
			}
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		p, err := readPart(one)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
}

func openMultipart(contentType string, r io.Reader) (*multipart.Reader, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("read a transaction's answer: %w", err)
	}
	return multipart.NewReader(r, params["boundary"]), nil
}

func readPart(r io.Reader) (part, error) {
	resp, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		return part{}, fmt.Errorf("read a transaction's answer: %w", err)
	}
	defer resp.Body.Close()
	p := part{status: resp.StatusCode, etag: azcore.ETag(resp.Header.Get("ETag"))}
	if p.status < 400 {
		return p, nil
	}
	var detail struct {
		Error struct {
			Code string `json:"code"`
		} `json:"odata.error"`
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && json.Unmarshal(bytes.TrimSpace(body), &detail) == nil {
		p.code = detail.Error.Code
	}
	return p, nil
}
