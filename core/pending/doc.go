// Package pending goes on with grants that wait before they are opened: for people to approve them, or for their start.
//
// A policy asks for so many distinct approvers. Each approval, the denial and the release are one conditional write of the grant, so that two people
// at once, a repetition and a crash need no code of their own. What has been approved is opened by whoever comes first: the person who
// approved last, the wake-up that was scheduled before, or the sweep.
//
// # What it promises
//
//   - Nobody approves what he asked for, twice, after the end of the wait, or without seeing all of it; applications approve nothing.
//   - What is approved is the exact content, by its digest; anything else is a new request.
//   - At the opening everything is decided again: the rights of who asked, policies, demands, room, and the right of each approver. A grant that is
//     refused then ends, and says why.
//   - Nothing is opened before the activity log has every approval.
//
// # What it does not do
//
// It cannot ask Entra ID for the app roles and groups of somebody who does not call: an approval by app role counts as long as a wait lasts at
// most (decision 049).
package pending
