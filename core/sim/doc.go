// Package sim proves the invariants of the whole service by deterministic
// simulation. It holds no code of the product: everything but this comment is tests.
//
// A run is made from one seed. Several instances of the service that [portcullis/core.New] builds
// share one simulated Azure (security groups, network, locks, foreign writers), one
// table and one bus. The machines are in two subscriptions, and Resource Manager may
// throttle every call, reads too, for a while. Every call of a port stops before it takes effect, and writes
// once more after it; a scheduler that draws from the seed decides whose call goes on
// next, what fails, when an instance dies, what others do to the security groups, how
// far the clock moves, and which messages arrive how often. After every such step a
// packet oracle, written as naively as possible and sharing nothing with package
// plan, checks the invariants. At the end faults stop, time passes, and everything has
// to settle.
//
// One target is a firewall in front of two machines, whose writes take half a minute to four. What is
// sent to it is translated, naively, and what arrives is held against the machine's security
// groups as coming from the firewall's own subnet. Others take its ports, redirect our rules, drop them,
// and put machines behind it or take them away.
//
// # The invariants, as they are checked
//
//   - I1 no rule of ours allows traffic later than its grant's end plus one period of
//     the sweep plus the time of a write, counted from the last fault;
//   - I2 the foreign rules and tags of every security group are what foreign writers made them;
//   - I3 while the table says that a window is open and its end has not come, its
//     traffic comes through, unless a foreign writer touched the security group and no
//     sweep has come since;
//   - I4 what our rules allow is a part of what some live grant says, and a port that a
//     policy closes is open to nobody else;
//   - I5 openings, closings, refusals and repairs are in the activity log;
//   - I6 in the end the security groups hold no allows of ours, and after disable nothing of ours;
//   - I7 a second sweep changes nothing, and a sweep leaves no security group as a failed write
//     of ours has it;
//   - I8 a window is stored or told as open only where the data plane lets it
//     through at that moment, and as closed only where nothing of it is left.
//
// Behind a firewall I2 includes that no window is given a port that a foreign rule has, I3 that an open
// window stays at its port, I4 that no two ports of machines are dialled at one.
//
// Closings under faults are bounded, not instant: the bounds of I1 count from the last
// fault or foreign write, and a window that was stored as closed while another
// instance's older plan was on its way may stand until that instance has looked again.
//
// # What is guaranteed of a replay
//
// The scheduler lets one call go on at a time and waits until every goroutine of the
// bubble is blocked; whoever waits is sorted by name, never by arrival. So one seed
// gives the same sequence of port calls, faults and answers in every run of the same
// code, but for one thing: whether two goroutines of one verb that want the same target
// at the same moment share one round or have two, which Go's scheduler decides. On
// one thread it decides the same way each time (TestReplay: 40 of 40 seeds); under the race
// detector, which shuffles goroutines, about one seed in four differs. So a failure is
// replayed without -race.
//
// # What keeps it honest
//
// A list of mutations of the product, each with the invariants that notice it
// (mutations_test.go); `make mutants` applies each and demands that 200 histories
// notice. TestSim fails where openings, repairs, conflicts or crashes never happen.
//
// # What it does not do
//
// The wire is not simulated: If-Match as a header, polling and JSON are infra/nsg's,
// held by its own tests against stand-ins. Application security groups and
// security admin rules do not occur. Limits (1,000 rules, 4,000 addresses) are package
// plan's own tests'.
package sim
