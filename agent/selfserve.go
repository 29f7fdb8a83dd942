package agent

import (
	"cmp"
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/aditmesh/adit/agent/port"
	"github.com/aditmesh/adit/agent/self"
	"github.com/aditmesh/adit/agent/update"
	"github.com/aditmesh/adit/pkg/sdk"
)

// inside is what programs of the workspace may ask of the agent.
type inside struct {
	coordinator *sdk.Client
	name        string
	settings    []sdk.PortSetting
	environ     func() []string
	out         *outgoing
	updates     *updater

	mu       sync.Mutex // guards what follows, also while it is asked for
	login    self.Login
	useUntil time.Time // then another login is asked for
}

// serveSelf opens the socket on which they do, and has them find it. A workspace in
// which none can be made does without.
func serveSelf(cfg Config, c *sdk.Client, m sdk.Manifest, home *place, out *outgoing, updates *updater) (stop func() error) {
	in := &inside{coordinator: c, name: m.Agent, settings: m.Ports, out: out, updates: updates}
	s, err := self.Open(self.Config{Agent: in, UIDs: []int{os.Getuid()}, Logger: cfg.Logger})
	if err != nil {
		cfg.Logger.Warn("programs of the workspace cannot ask the agent", "err", err)
		return func() error { return nil }
	}
	home.env = append(home.env, self.SocketEnv+"="+s.Path())
	whole := home.environ()
	in.environ = func() []string { return slices.Clone(whole) }
	return s.Close
}

func (in *inside) Env() []string { return in.environ() }

func (in *inside) URL() string { return in.coordinator.URL().String() }

// Login is the same for all programs until half of its time is over, so that whoever gets
// it can use it for the other half.
func (in *inside) Login(ctx context.Context) (self.Login, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := time.Now()
	if now.Before(in.useUntil) {
		return in.login, nil
	}
	t, err := in.coordinator.MakeClientToken(ctx)
	if err != nil {
		return self.Login{}, err
	}
	in.login, in.useUntil = self.Login{URL: in.URL(), Token: t.Token}, now.Add(time.Duration(t.ExpiresIn)*time.Second/2)
	return in.login, nil
}

// Ports are those that listen. What the template and repositories say of them the
// coordinator knows, too; here it saves asking.
func (in *inside) Ports() []sdk.Port {
	list, said := []sdk.Port{}, in.out.said()
	for _, p := range in.out.listening() {
		s := sdk.Port{
			Agent: in.name, Network: p.GetNetwork(), Port: int(p.GetPort()), Listening: true, Address: p.GetAddress(), Process: p.GetProcess(),
			PID: int(p.GetPid()), Protocol: p.GetProtocol(), OnOpen: sdk.OnOpenNotify, Visibility: "owner",
		}
		setting, ok := sdk.SettingOf(in.settings, s.Port)
		if !ok {
			setting, ok = sdk.SettingOf(said, s.Port)
		}
		if ok {
			s.Label, s.OnOpen, s.Visibility = setting.Label, cmp.Or(setting.OnOpen, s.OnOpen), cmp.Or(setting.Visibility, s.Visibility)
			if setting.Protocol != "" && s.Network == port.TCP {
				s.Protocol = setting.Protocol
			}
		}
		list = append(list, s)
	}
	return list
}

func (in *inside) Workspace(ctx context.Context) (sdk.Workspace, error) {
	return in.coordinator.OwnWorkspace(ctx)
}

func (in *inside) Stop(ctx context.Context) (sdk.Build, error) {
	return in.coordinator.StopOwnWorkspace(ctx)
}

func (in *inside) Update(ctx context.Context, within time.Duration) (update.Answer, error) {
	return in.updates.update(ctx, within)
}

func (in *inside) Extend(ctx context.Context, by time.Duration) (sdk.Workspace, error) {
	return in.coordinator.ExtendOwnWorkspace(ctx, by)
}
