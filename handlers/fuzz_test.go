package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// plainLength is what lengths nearly always look like; it is read here as naively as can be.
var plainLength = regexp.MustCompile(`^PT(?:(\d{1,3})H)?(?:(\d{1,4})M)?(?:(\d{1,5})S)?$`)

func readPlain(s string) (time.Duration, bool) {
	m := plainLength.FindStringSubmatch(s)
	if m == nil || s == "PT" {
		return 0, false
	}
	total := 0
	for i, unit := range []int{3600, 60, 1} {
		n, _ := strconv.Atoi("0" + m[i+1])
		total += n * unit
	}
	return time.Duration(total) * time.Second, true
}

// FuzzPort: whatever stands for a port's number, its longest time and its source, on either face, is
// refused by name, or taken as one port from 0 to 65535 for 5 minutes to a day. What is
// taken is given back in a form that is taken for the same again, and a plain length as long as it says.
func FuzzPort(f *testing.F) {
	for _, s := range [][3]string{{`22`, "PT3H", "*"}, {`"22"`, "P1D", "203.0.113.0/24"}, {`0`, "PT5M", "203.0.113.7"}, {`65536`, "PT24H1S", "::/0"}, {`-1`, "P0D", "fe80::1%eth0"},
		{`22.0`, "PT1.5H", "Internet"}, {`2e1`, "-PT1H", "0.0.0.0/0"}, {`null`, "P1Y", ""}, {`"0x16"`, "PT99999999999999999999H", "203.0.113.7/33"}, {`[22]`, "PT", "010.0.0.1"}, {`22`, "P1W", "a,b"}} {
		f.Add(s[0], s[1], s[2])
	}
	plain, compat := newApp(&testing.T{}), newCompat(&testing.T{})
	text := func(s string) string {
		b, _ := json.Marshal(s)
		return string(b)
	}
	ask := func(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer test")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	type ports struct {
		Ports []struct {
			Number  sentNumber `json:"number"`
			Maximum string     `json:"maxRequestAccessDuration"`
			Prefix  string     `json:"allowedSourceAddressPrefix"`
		} `json:"ports"`
	}
	f.Fuzz(func(t *testing.T, number, maximum, prefix string) {
		if !json.Valid([]byte(number)) || maximum == "" {
			t.Skip()
		}
		one := func(number, maximum, prefix string) string {
			return fmt.Sprintf(`"id":%q,"ports":[{"number":%s,"protocol":"*","maxRequestAccessDuration":%s,"allowedSourceAddressPrefix":%s}]`, web, number, text(maximum), text(prefix))
		}
		taken := func(w *httptest.ResponseRecorder) (out ports, ok bool) {
			t.Helper()
			var body struct {
				ports              // of the error there is nothing here
				VMs        []ports `json:"virtualMachines"`
				Properties struct {
					VMs []ports `json:"virtualMachines"`
				} `json:"properties"`
				Error struct{ Code, Message, Target string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err, w.Body)
			}
			if w.Code != 200 {
				if w.Code != 400 || body.Error.Code == "" || body.Error.Message == "" {
					t.Fatal(w.Code, w.Body)
				}
				return out, false
			}
			vms := append(body.VMs, body.Properties.VMs...)
			if len(vms) != 1 || len(vms[0].Ports) != 1 {
				t.Fatal(w.Body)
			}
			return vms[0], true
		}
		for face, send := range map[string]func(number, maximum, prefix string) (ports, bool){
			"plain": func(n, m, p string) (ports, bool) {
				return taken(ask(plain, "POST", "/api/enable?dryRun=true", `{"virtualMachines":[{`+one(n, m, p)+`}]}`))
			},
			"compatible": func(n, m, p string) (ports, bool) {
				return taken(ask(compat, "PUT", policy+version, `{"kind":"Basic","properties":{"virtualMachines":[{`+one(n, m, p)+`}]}}`))
			},
		} {
			got, ok := send(number, maximum, prefix)
			length, isPlain := readPlain(maximum)
			if !ok {
				if n, err := strconv.Atoi(number); err == nil && strconv.Itoa(n) == number && n >= 0 && n < 65536 && isPlain && length >= 5*time.Minute && length <= 24*time.Hour && prefix == "*" {
					t.Errorf("%s: refused, and it is a port", face)
				}
				continue
			}
			p := got.Ports[0]
			if p.Number < 0 || p.Number > 65535 {
				t.Errorf("%s: %s is taken as port %d", face, number, p.Number)
			}
			if n, err := strconv.Atoi(strings.Trim(number, `"`)); err == nil && n != int(p.Number) {
				t.Errorf("%s: %s is taken as port %d", face, number, p.Number)
			}
			if isPlain && (length < 5*time.Minute || length > 24*time.Hour) {
				t.Errorf("%s: a maximum of %s is taken", face, maximum)
			}
			again, ok := send(strconv.Itoa(int(p.Number)), p.Maximum, p.Prefix)
			if !ok || again.Ports[0] != p {
				t.Errorf("%s: %+v is taken as %+v when it is sent again", face, p, again)
			}
			if back, ok := readAnswer(p.Maximum); isPlain && (!ok || back != length) {
				t.Errorf("%s: %s is taken as %s", face, maximum, p.Maximum)
			}
		}
		plain.log.Reset()
		compat.log.Reset()
	})
}

// readAnswer reads a length as answers write it: a day, or less.
func readAnswer(s string) (time.Duration, bool) {
	if s == "P1D" {
		return 24 * time.Hour, true
	}
	return readPlain(s)
}

// sentNumber is a port as it was sent: a number, also with a fraction of zero, or a text.
type sentNumber int

func (n *sentNumber) UnmarshalJSON(text []byte) error {
	whole, _, _ := strings.Cut(strings.Trim(string(text), `"`), ".")
	v, err := strconv.Atoi(whole)
	*n = sentNumber(v)
	return err
}
