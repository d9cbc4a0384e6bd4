package handlers

import (
	"net/http"
	"strconv"
	"strings"

	"portcullis/core/doctor"
	"portcullis/handlers/arrival"
	"portcullis/handlers/compat"
	"portcullis/handlers/wire"
)

// doctor says what the installation needs and has, and what to do where something is missing: GET /api/doctor. It answers 200
// whatever it finds. Causes go to the log, since they may hold what a caller must not see.
func (s *server) doctor(w http.ResponseWriter, r call) error {
	report, err := s.app.Doctor.Look(r.Context(), r.who)
	if err != nil {
		return err
	}
	checks := append(report.Checks, s.frontEnd(r.Request), s.versions(r.Request))
	out := wire.DoctorAnswer{State: string(doctor.Worst(checks)), Time: wire.Stamp(s.app.Now()), Version: s.Version, Subscriptions: report.Subscriptions,
		Caller: wire.DoctorCaller{Name: r.who.Name, ID: r.who.ID}}
	if own, ok := ownAddress(r.Request); ok {
		out.Caller.Address = wire.OrNull(own.String())
	}
	for _, c := range checks {
		if c.Err != nil {
			s.Log.Warn("doctor", "invocation", arrival.Invocation(r.Context()), "check", c.Name, "subscription", c.Subscription, "state", string(c.State), "error", c.Err.Error())
		}
		out.Checks = append(out.Checks, wire.ToCheck(c))
	}
	wire.Write(w, http.StatusOK, out)
	return nil
}

// frontEnd says how this call came: what the front end sent, and what the app makes of it. It is shown and nothing rests on it,
// but for the caller's address (see [server.arrived]).
func (s *server) frontEnd(r *http.Request) doctor.Check {
	own, known := ownAddress(r)
	c := doctor.Check{Name: "frontEnd", State: doctor.OK, Facts: []doctor.Fact{
		{Name: "ASPNETCORE_FORWARDEDHEADERS_ENABLED", Value: strconv.FormatBool(s.ForwardedHeaders)},
		sent(r.Header, "X-Forwarded-For"), sent(r.Header, "X-Forwarded-Proto"), sent(r.Header, "X-Forwarded-Host"),
		// Values of these name people and hold tokens.
		{Name: "appServiceAuthentication", Value: present(r.Header, "X-Ms-Client-Principal", "X-Ms-Client-Principal-Id", "X-Ms-Token-Aad-Id-Token")},
	}}
	switch {
	case known:
		c.Seen = "the caller's address is taken to be " + own.String() + "; is it yours?"
		c.Advice = "where it is that of a proxy or gateway before the app, people open ports for that one: have them name their sources"
	case !s.ForwardedHeaders:
		c.State, c.Seen = doctor.Attention, "the caller's address is not known, since the app is not told to take it from the front end"
		c.Advice = "set ASPNETCORE_FORWARDEDHEADERS_ENABLED to true (terraform apply does). Until then every request has to name its sources"
	default:
		c.State, c.Seen = doctor.Attention, "the caller's address is not known: X-Forwarded-For is not one address"
		c.Advice = "look at what stands before the app. Until then every request has to name its sources"
	}
	return c
}

// longestHeader bounds what of a header is shown, in bytes.
const longestHeader = 200

// sent tells the values of a header as they came.
func sent(h http.Header, name string) doctor.Fact {
	lines := h.Values(name)
	if len(lines) == 0 {
		return doctor.Fact{Name: name, Reason: "it was not sent"}
	}
	text := strconv.QuoteToASCII(strings.Join(lines, " | "))
	return doctor.Fact{Name: name, Value: text[:min(len(text), longestHeader)]}
}

// present says which of the headers came, and nothing of what they hold.
func present(h http.Header, names ...string) string {
	var out []string
	for _, name := range names {
		if len(h.Values(name)) > 0 {
			out = append(out, name)
		}
	}
	if out == nil {
		return "no header of it came"
	}
	return "sent, and not trusted: " + strings.Join(out, ", ")
}

// versions says what runs.
func (s *server) versions(r *http.Request) doctor.Check {
	host := sent(r.Header, "X-Azure-Functions-HostVersion")
	c := doctor.Check{Name: "versions", State: doctor.OK, Seen: "portcullis " + s.Version, Facts: []doctor.Fact{
		{Name: "app", Value: s.Version}, {Name: "host", Value: host.Value, Reason: host.Reason}, {Name: "apiVersions", Value: strings.Join(compat.Versions, ", ")},
	}}
	if strings.Contains(s.Version, "+dirty") {
		c.State, c.Seen, c.Advice = doctor.Attention, "the app was built from changed files: "+s.Version, "deploy a package that make package built from a commit"
	}
	return c
}
