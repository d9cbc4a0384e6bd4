package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// peer is the obvious design: one rule, one row and one message for each port of each machine.
type peer struct {
	w        *world
	rules    *armnetwork.SecurityRulesClient
	nics     *armnetwork.InterfacesClient
	rows     *aztables.Client
	poll     *runtime.PollUntilDoneOptions // nil is the SDK's own: 30 seconds
	parallel bool                          // all rules of a request at the same time
	next     atomic.Int32                  // rules made so far, of which names and priorities are made
	last     atomic.Int64                  // nanoseconds since 1970 of the last rule known to be gone
	late     []time.Duration               // how long after its end each rule was known to be gone
	mu       sync.Mutex
}

// newPeer returns the obvious design, or its best variant: parallel, and with a poll every second.
func (w *world) newPeer(best bool) *peer {
	p := &peer{w: w, parallel: best}
	if best {
		p.poll = &runtime.PollUntilDoneOptions{Frequency: time.Second}
	}
	options := &arm.ClientOptions{ClientOptions: w.toARM(), DisableRPRegistration: true}
	options.Cloud = cloudAt(armURL)
	f, err := armnetwork.NewClientFactory(sub, identity("peer"), options)
	w.check(err)
	p.rules, p.nics = f.NewSecurityRulesClient(), f.NewInterfacesClient()
	service, err := aztables.NewServiceClient(tableURL, identity("peer"), &aztables.ClientOptions{ClientOptions: w.toTables()})
	w.check(err)
	p.rows = service.NewClient("Peer")
	_, err = service.CreateTable(w.tb.Context(), "Peer", nil)
	w.check(err)
	return p
}

// ticket is one rule, as its row and its message hold it.
type ticket struct {
	Group, Rule string
	End         time.Time
}

// open opens ports of machines, and returns how many rules failed.
func (p *peer) open(ctx context.Context, first, machines, ports int, end time.Time) (failed int) {
	var failures atomic.Int32
	var wg sync.WaitGroup
	run := func(f func()) {
		if p.parallel {
			wg.Go(f)
		} else {
			f()
		}
	}
	for n := first; n < first+machines; n++ {
		run(func() {
			// The stand-in has no machines of its own; the read of the machine is one more of its network interface.
			for range 2 {
				if _, err := p.nics.Get(ctx, "rg", nicName(n), nil); err != nil {
					failures.Add(int32(ports))
					return
				}
			}
			for port := range ports {
				run(func() {
					if p.openOne(ctx, n, portOf(port), end) != nil {
						failures.Add(1)
					}
				})
			}
		})
	}
	wg.Wait()
	return int(failures.Load())
}

func (p *peer) openOne(ctx context.Context, machine, port int, end time.Time) error {
	n := p.next.Add(1)
	t := ticket{Group: groupID(p.w.groupOf(machine)).Name, Rule: fmt.Sprintf("jit-%d", n), End: end}
	if err := p.row(ctx, t, "opening", aztables.UpdateModeReplace); err != nil {
		return err
	}
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := p.w.queue.schedule(ctx, end, body); err != nil {
		return err
	}
	if err := p.put(ctx, t, machine, port, 100+n%3900); err != nil {
		return err
	}
	return p.row(ctx, t, "open", aztables.UpdateModeReplace)
}

func (p *peer) put(ctx context.Context, t ticket, machine, port int, priority int32) error {
	poller, err := p.rules.BeginCreateOrUpdate(ctx, "rg", t.Group, t.Rule, armnetwork.SecurityRule{Properties: &armnetwork.SecurityRulePropertiesFormat{
		Access: to.Ptr(armnetwork.SecurityRuleAccessAllow), Direction: to.Ptr(armnetwork.SecurityRuleDirectionInbound), Protocol: to.Ptr(armnetwork.SecurityRuleProtocolTCP),
		Priority: &priority, SourceAddressPrefix: to.Ptr("198.51.100.7"), SourcePortRange: to.Ptr("*"),
		DestinationAddressPrefix: to.Ptr(addressOf(machine).String()), DestinationPortRange: to.Ptr(fmt.Sprint(port)),
	}}, nil)
	if err != nil {
		return err
	}
	_, err = poller.PollUntilDone(ctx, p.poll)
	return err
}

// row writes what is known of a rule.
func (p *peer) row(ctx context.Context, t ticket, state string, mode aztables.UpdateMode) error {
	text, err := json.Marshal(map[string]any{"PartitionKey": t.Group, "RowKey": t.Rule, "State": state, "End": t.End.Format(time.RFC3339)})
	if err != nil {
		return err
	}
	_, err = p.rows.UpsertEntity(ctx, text, &aztables.UpsertEntityOptions{UpdateMode: mode})
	return err
}

// close handles a message: it reads the row, deletes the rule, and then the row.
func (p *peer) close(ctx context.Context, body []byte) error {
	var t ticket
	if err := json.Unmarshal(body, &t); err != nil {
		return err
	}
	if _, err := p.rows.GetEntity(ctx, t.Group, t.Rule, nil); err != nil {
		return err
	}
	poller, err := p.rules.BeginDelete(ctx, "rg", t.Group, t.Rule, nil)
	if err == nil {
		_, err = poller.PollUntilDone(ctx, p.poll)
	}
	if err != nil {
		return errors.Join(errors.New("delete the rule"), err)
	}
	p.mu.Lock()
	p.late = append(p.late, time.Since(t.End))
	p.mu.Unlock()
	p.last.Store(time.Now().UnixNano())
	_, err = p.rows.DeleteEntity(ctx, t.Group, t.Rule, nil)
	return err
}

// width is how many messages are handled at the same time: 16, which is the host's default, and for the best variant
// that on each of the 100 instances which a plan gives by default.
func (p *peer) width() int {
	if p.parallel {
		return 16 * 100
	}
	return 16
}

// fill opens the windows of a storm, all with one end: their rules stand, their rows are written, their messages wait.
func (p *peer) fill(s storm, machines int) (end time.Time) {
	w := p.w
	end = time.Now().Add(3 * time.Hour)
	rules := make([][]any, w.groups)
	tickets := make([]ticket, s.windows)
	for i := range s.windows {
		n := i % machines
		g := w.groupOf(n)
		tickets[i] = ticket{Group: groupID(g).Name, Rule: fmt.Sprintf("jit-%d", i), End: end}
		rules[g] = append(rules[g], object{"name": tickets[i].Rule, "properties": object{
			"priority": 100 + len(rules[g]), "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": fmt.Sprintf("198.51.%d.%d", i/machines>>8, i/machines&255),
			"sourcePortRange": "*", "destinationAddressPrefix": addressOf(n).String(), "destinationPortRange": "22"}})
	}
	for g, list := range rules {
		text, err := json.Marshal(object{"location": "westeurope", "properties": object{"securityRules": list}})
		w.check(err)
		w.check(w.arm.Put(groupID(g).String(), text))
	}
	w.parallel(s.windows, func(i int) error {
		body, err := json.Marshal(tickets[i])
		if err != nil {
			return err
		}
		if err := p.row(w.tb.Context(), tickets[i], "open", aztables.UpdateModeReplace); err != nil {
			return err
		}
		return w.queue.schedule(w.tb.Context(), end, body)
	})
	return end
}

// look lists the rules of one group.
func (p *peer) look(ctx context.Context, group string) error {
	n := 0
	for pager := p.rules.NewListPager("rg", group, nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return err
		}
		n += len(page.Value)
	}
	if n == 0 {
		return errNoRules
	}
	return nil
}
