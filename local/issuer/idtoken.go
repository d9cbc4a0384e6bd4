package issuer

import "time"

// IDToken returns a signed ID token for the persona, as App Service authentication gets it at a sign-in. There is no
// sign-in here whose nonce it could carry: it is always the same.
func (i *Issuer) IDToken(persona string) (string, error) {
	c, err := i.person(persona)
	if err != nil {
		return "", err
	}
	c.Audience, c.Nonce = i.cfg.Audience, "local"
	return i.sign(c)
}

// ExpiredIDToken is [Issuer.IDToken], made so long ago that it has ended.
func (i *Issuer) ExpiredIDToken(persona string) (string, error) {
	c, err := i.person(persona)
	if err != nil {
		return "", err
	}
	c.Audience, c.Nonce = i.cfg.Audience, "local"
	c = i.complete(c)
	ago := int64((i.cfg.Lifetime + time.Hour).Seconds())
	c.IssuedAt, c.NotBefore, c.Expires = c.IssuedAt-ago, c.NotBefore-ago, c.Expires-ago
	return i.signed(c)
}
