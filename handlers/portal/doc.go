// Package portal is the page that people look at: the machines, what is open, the forms to ask for access and to configure it, and the
// activity log.
//
// It is a door like package handlers, with HTML where that has JSON: it decodes a form, calls one verb of [core.App] and draws the answer
// with the templates of package web. It calls the verbs, not the JSON API, and decides nothing itself.
//
// Who calls is only what [Options.Caller] says of a request; nobody else gets more than the sign-in page and the assets, which hold no
// data. What browsers send from other sites is refused ([http.CrossOriginProtection]), and so is a POST that does not say where it comes
// from: every browser of today does. Everything shown is escaped by html/template, and the Content-Security-Policy allows neither inline
// script nor inline style.
//
// Every page is whole without JavaScript. With it, htmx puts the same answers into a pane beside the list: a request with the header HX-
// Request gets the part of the page that it asks for, and nothing else differs.
//
// It deliberately leaves out what portals grow: settings of one's own, live updates by WebSockets, and any state on the server between two
// requests.
package portal
