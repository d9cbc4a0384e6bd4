package tablesim

import "strconv"

// Bounds of a filter: the service documents at most 15 comparisons; the depth
// only keeps nonsense from using up the stack.
const (
	maxComparisons = 15
	maxDepth       = 100
)

// filter is a parsed $filter. keys is the smallest range of keys, as far as
// the shape of the expression shows it, outside of which nothing matches.
type filter interface {
	match(e *entity) bool
	keys() keySpans
}

type everything struct{}

func (everything) match(*entity) bool { return true }
func (everything) keys() keySpans     { return allKeys() }

type both struct{ left, right filter }

func (f both) match(e *entity) bool { return f.left.match(e) && f.right.match(e) }
func (f both) keys() keySpans       { return f.left.keys().intersect(f.right.keys()) }

type either struct{ left, right filter }

func (f either) match(e *entity) bool { return f.left.match(e) || f.right.match(e) }
func (f either) keys() keySpans       { return f.left.keys().hull(f.right.keys()) }

type negation struct{ of filter }

func (f negation) match(e *entity) bool { return !f.of.match(e) }
func (f negation) keys() keySpans       { return allKeys() }

// comparison holds where the named property compares to the literal as asked.
type comparison struct {
	name     string
	operator string
	literal  value
}

func (f comparison) match(e *entity) bool {
	v, ok := e.lookup(f.name)
	if !ok {
		return false
	}
	order, ok := v.compare(f.literal)
	if !ok {
		return false
	}
	switch f.operator {
	case "eq":
		return order == 0
	case "ne":
		return order != 0
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	}
	return order <= 0
}

func (f comparison) keys() keySpans {
	all := allKeys()
	if f.literal.kind != kindString {
		return all
	}
	switch f.name {
	case "PartitionKey":
		all.partition = comparisonSpan(f.operator, f.literal.s)
	case "RowKey":
		all.row = comparisonSpan(f.operator, f.literal.s)
	}
	return all
}

// parseFilter reads a $filter; the empty text matches everything. The grammar:
//
//	or    = and { "or" and }
//	and   = unary { "and" unary }
//	unary = "not" unary | "(" or ")" | term
//	term  = property [ op literal ] | literal op property
//
// A property alone is a Boolean one that must be true. Errors are refusals
// with InvalidInput.
func parseFilter(text string) (filter, error) {
	p := &parser{lex: lexer{text: text}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.token.kind == tokenEnd {
		return everything{}, nil
	}
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.token.kind != tokenEnd {
		return nil, errFilter("unexpected text after the end")
	}
	return f, nil
}

type parser struct {
	lex         lexer
	token       token
	depth       int
	comparisons int
}

func (p *parser) advance() (err error) {
	p.token, err = p.lex.next()
	return err
}

func (p *parser) isWord(word string) bool {
	return p.token.kind == tokenWord && p.token.word == word
}

func (p *parser) or() (filter, error) {
	left, err := p.and()
	for err == nil && p.isWord("or") {
		if err = p.advance(); err != nil {
			break
		}
		var right filter
		right, err = p.and()
		left = either{left, right}
	}
	return left, err
}

func (p *parser) and() (filter, error) {
	left, err := p.unary()
	for err == nil && p.isWord("and") {
		if err = p.advance(); err != nil {
			break
		}
		var right filter
		right, err = p.unary()
		left = both{left, right}
	}
	return left, err
}

func (p *parser) unary() (filter, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, errFilter("nested too deeply")
	}
	switch {
	case p.isWord("not"):
		if err := p.advance(); err != nil {
			return nil, err
		}
		f, err := p.unary()
		return negation{f}, err
	case p.token.kind == tokenOpen:
		if err := p.advance(); err != nil {
			return nil, err
		}
		f, err := p.or()
		if err != nil {
			return nil, err
		}
		if p.token.kind != tokenClose {
			return nil, errFilter("missing )")
		}
		return f, p.advance()
	}
	return p.term()
}

func (p *parser) term() (filter, error) {
	if p.comparisons++; p.comparisons > maxComparisons {
		return nil, errFilter("more than " + strconv.Itoa(maxComparisons) + " comparisons")
	}
	left := p.token
	if left.kind != tokenWord && left.kind != tokenLiteral {
		return nil, errFilter("a comparison is missing")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	operator, ok := p.operator()
	if !ok {
		if left.kind == tokenWord && !reserved(left.word) {
			return comparison{left.word, "eq", boolean(true)}, nil
		}
		return nil, errFilter("an operator is missing")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	right := p.token
	if left.kind == tokenLiteral {
		left, right, operator = right, left, mirrored(operator)
	}
	if left.kind != tokenWord || right.kind != tokenLiteral || reserved(left.word) {
		return nil, errFilter("one side must be a property, the other a constant")
	}
	return comparison{left.word, operator, right.value}, p.advance()
}

func (p *parser) operator() (string, bool) {
	if p.token.kind != tokenWord {
		return "", false
	}
	switch p.token.word {
	case "eq", "ne", "gt", "ge", "lt", "le":
		return p.token.word, true
	}
	return "", false
}

func reserved(word string) bool {
	switch word {
	case "and", "or", "not", "eq", "ne", "gt", "ge", "lt", "le", "null":
		return true
	}
	return false
}

// mirrored is the operator for swapped sides.
func mirrored(operator string) string {
	switch operator {
	case "gt":
		return "lt"
	case "ge":
		return "le"
	case "lt":
		return "gt"
	case "le":
		return "ge"
	}
	return operator
}
