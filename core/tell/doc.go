// Package tell tells people what happens to windows: through any number of channels, each at least once.
//
// [Courier.Grants] wraps the store of grants. Whenever a grant is written, it compares what the grant is with what was told of it, and adds
// what is missing to the very write: so whoever changes a grant need not know of telling, a crash loses no message, and telling adds no call.
// Afterwards, and in every sweep, letters are delivered in the background: the oldest first, those of one subject in their order, each claimed
// before it is sent. A channel that fails holds up neither openings, closings nor other channels. A letter is tried for a day, after growing pauses,
// and then stands for another day as a finding.
//
// [CardOf] says how a message reads. How a channel writes that, and what it has to escape, is the channel's.
//
// The package decides nothing about windows, and a message is no permission: its links lead to the page, where people sign in.
package tell
