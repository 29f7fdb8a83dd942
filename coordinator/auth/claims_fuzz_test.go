package auth

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
)

// Whatever a provider claims of somebody: they are a person whose address is verified
// only if that was said, with groups that are none of those that were not named and a
// role of those that there are; or they are refused.
func FuzzClaims(f *testing.F) {
	f.Add(`{"email":"ada@example.org","email_verified":true,"preferred_username":"ada","groups":["staff","them"],"roles":["boss"]}`)
	f.Add(`{"email":["ada@example.org"],"email_verified":"true","groups":"staff","roles":[7]}`)
	f.Add(`{"email_verified":"TRUE","groups":{"staff":true},"roles":null}`)
	o := NewOIDC(OIDCConfig{
		Issuer: "https://id.example.org", GroupsClaim: "groups", GroupMapping: map[string]string{"them": "us"}, AllowedGroups: []string{"staff"},
		RolesClaim: "roles", RoleMapping: map[string]store.Role{"boss": store.RoleOwner},
	})
	f.Fuzz(func(t *testing.T, raw string) {
		claims := make(map[string]json.RawMessage)
		if json.Unmarshal([]byte(raw), &claims) != nil {
			return
		}
		p, err := o.person("issuer", "subject", claims)
		if err != nil {
			if refused := new(Refused); !errors.As(err, &refused) {
				t.Errorf("%v, want to be refused", err)
			}
			return
		}
		said := string(claims["email_verified"])
		if p.EmailVerified && said != "true" && said != `"true"` || p.Issuer != "issuer" || p.Subject != "subject" {
			t.Errorf("%s became %+v", raw, p)
		}
		if p.Groups == nil || !slices.Contains(p.Groups, "staff") || slices.Contains(p.Groups, "them") || !slices.Contains(store.Roles, p.Role) {
			t.Errorf("%s became %+v", raw, p)
		}
		_ = accountName(p)
	})
}
