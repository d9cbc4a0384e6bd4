package tablesim

import (
	"encoding/hex"
	"strconv"
	"strings"
)

type tokenKind byte

const (
	tokenEnd tokenKind = iota
	tokenOpen
	tokenClose
	tokenWord
	tokenLiteral
)

type token struct {
	kind  tokenKind
	word  string
	value value
}

// lexer cuts a $filter expression into tokens.
type lexer struct {
	text string
	at   int
}

func errFilter(what string) error {
	return invalid("Syntax error in the filter expression: " + what + ".")
}

func (l *lexer) next() (token, error) {
	for l.at < len(l.text) && (l.text[l.at] == ' ' || l.text[l.at] == '\t') {
		l.at++
	}
	if l.at == len(l.text) {
		return token{kind: tokenEnd}, nil
	}
	switch c := l.text[l.at]; {
	case c == '(':
		l.at++
		return token{kind: tokenOpen}, nil
	case c == ')':
		l.at++
		return token{kind: tokenClose}, nil
	case c == '\'':
		s, err := l.quoted()
		return token{kind: tokenLiteral, value: value{kind: kindString, s: s}}, err
	case c == '-' || c >= '0' && c <= '9':
		return l.number()
	}
	return l.word()
}

// quoted reads '...' with a doubled quote standing for one.
func (l *lexer) quoted() (string, error) {
	var b strings.Builder
	for i := l.at + 1; i < len(l.text); i++ {
		if l.text[i] != '\'' {
			b.WriteByte(l.text[i])
			continue
		}
		if i+1 < len(l.text) && l.text[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		l.at = i + 1
		return b.String(), nil
	}
	return "", errFilter("unterminated string")
}

func (l *lexer) number() (token, error) {
	start := l.at
	for l.at < len(l.text) && !strings.ContainsRune(" \t()'", rune(l.text[l.at])) {
		l.at++
	}
	text := l.text[start:l.at]
	v, err := parseNumber(text)
	if err != nil {
		return token{}, errFilter("bad number " + strconv.Quote(text))
	}
	return token{kind: tokenLiteral, value: v}, nil
}

// parseNumber reads 1 (Int32), 1L (Int64), 1.5, 1e3 (Double). An integer
// without L that is too wide for Int32 is read as Int64.
func parseNumber(text string) (value, error) {
	if digits, ok := strings.CutSuffix(strings.ToUpper(text), "L"); ok {
		return parseText(kindInt64, digits)
	}
	if strings.ContainsAny(text, ".eE") {
		return parseDouble(text)
	}
	if v, err := parseText(kindInt32, text); err == nil {
		return v, nil
	}
	return parseText(kindInt64, text)
}

func (l *lexer) word() (token, error) {
	start := l.at
	for l.at < len(l.text) && !strings.ContainsRune(" \t()'", rune(l.text[l.at])) {
		l.at++
	}
	word := l.text[start:l.at]
	if l.at < len(l.text) && l.text[l.at] == '\'' {
		return l.prefixed(word)
	}
	switch word {
	case "true", "false":
		return token{kind: tokenLiteral, value: boolean(word == "true")}, nil
	}
	if checkName(word) != nil {
		return token{}, errFilter("unexpected " + strconv.Quote(word))
	}
	return token{kind: tokenWord, word: word}, nil
}

// prefixed reads datetime'...', guid'...', X'...' and binary'...'.
func (l *lexer) prefixed(prefix string) (token, error) {
	s, err := l.quoted()
	if err != nil {
		return token{}, err
	}
	var v value
	switch prefix {
	case "datetime":
		v, err = parseDateTime(s)
	case "guid":
		v, err = parseGUID(s)
	case "X", "binary":
		var b []byte
		b, err = hex.DecodeString(s)
		v = value{kind: kindBinary, s: string(b)}
	default:
		err = errFilter("unknown literal type")
	}
	if err != nil {
		return token{}, errFilter("bad literal " + strconv.Quote(prefix+"'"+s+"'"))
	}
	return token{kind: tokenLiteral, value: v}, nil
}
