package deploysim

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// deploy makes what a template says, one resource after the other in the order of the template, and
// ends at the first that is refused, as a deployment does.
func (s *Server) deploy(r resource, body Document) (int, any) {
	properties, _ := body["properties"].(Document)
	template, _ := properties["template"].(Document)
	values := Document{}
	shown := Document{}
	sent, _ := properties["parameters"].(Document)
	declared, _ := template["parameters"].(Document)
	for name, parameter := range declared {
		given, ok := sent[name].(Document)
		if !ok {
			return http.StatusBadRequest, failure("InvalidTemplate", "The value for the template parameter '%s' is not provided.", name)
		}
		values[name] = given["value"]
		shown[name] = Document{"type": parameter.(Document)["type"], "value": given["value"]}
	}
	for name := range sent {
		if declared[name] == nil {
			return http.StatusBadRequest, failure("InvalidTemplate", "The template has no parameter '%s'.", name)
		}
	}
	made, err := s.make(r.scope, "", "", template["resources"], values)
	if err != nil {
		return http.StatusBadRequest, failure("DeploymentFailed", "%v", err)
	}
	outputs := Document{}
	declared, _ = template["outputs"].(Document)
	for name, output := range declared {
		value, err := s.output(r.scope, text(output.(Document)["value"]), values)
		if err != nil {
			return http.StatusBadRequest, failure("DeploymentFailed", "%v", err)
		}
		outputs[name] = Document{"type": output.(Document)["type"], "value": value}
	}
	providers, resources := []any{Document{"namespace": "Microsoft.Web", "resourceTypes": []any{Document{"resourceType": "sites"}}}}, []any{}
	for _, id := range made {
		resources = append(resources, Document{"id": id})
	}
	s.resources[strings.ToLower(r.id)] = Document{
		"id": r.id, "name": r.name, "type": "Microsoft.Resources/deployments", "tags": body["tags"], "template": template,
		"properties": Document{
			"provisioningState": "Succeeded", "mode": properties["mode"], "parameters": shown, "outputs": outputs, "outputResources": resources, "providers": providers,
		},
	}
	return http.StatusOK, s.resources[strings.ToLower(r.id)]
}

// make creates the resources of a list, children after their parents, and returns their ids.
func (s *Server) make(scope, kind, name string, list any, values Document) ([]string, error) {
	var made []string
	resources, _ := list.([]any)
	for _, item := range resources {
		d, err := evaluate(item, values)
		if err != nil {
			return nil, err
		}
		one := d.(Document)
		ofKind, ofName := strings.TrimPrefix(kind+"/"+text(one["type"]), "/"), strings.TrimPrefix(name+"/"+text(one["name"]), "/")
		types, names := strings.Split(ofKind, "/"), strings.Split(ofName, "/")
		if len(types) != len(names)+1 {
			return nil, fmt.Errorf("type %s and name %s do not match", ofKind, ofName)
		}
		id := scope + "/providers/" + types[0]
		for i, n := range names {
			id += "/" + types[i+1] + "/" + n
		}
		body := Document{}
		for key, value := range one {
			if key != "resources" && key != "dependsOn" && key != "type" && key != "name" && key != "apiVersion" {
				body[key] = value
			}
		}
		r, _ := parse(id)
		if _, ok := known[r.kind]; !ok {
			s.unknown = append(s.unknown, "template: "+id)
			return nil, fmt.Errorf("%s is not understood here", id)
		}
		status, answer := s.put(r, body)
		s.calls = append(s.calls, Call{http.MethodPut, id, body, status})
		if status >= 300 {
			return nil, fmt.Errorf("%s: %v", id, answer)
		}
		children, err := s.make(scope, ofKind, ofName, item.(Document)["resources"], values)
		if err != nil {
			return nil, err
		}
		made = append(append(made, id), children...)
	}
	return made, nil
}

var (
	parameter = regexp.MustCompile(`^\[parameters\('(\w+)'\)\]$`)
	hostname  = regexp.MustCompile(`^\[reference\(resourceId\('Microsoft\.Web/sites', parameters\('(\w+)'\)\)\)\.defaultHostName\]$`)
)

// evaluate returns a template's value with its parameters in place. The order of resources is the
// template's, so that dependsOn is not looked at, and children are left to their own turn.
func evaluate(v any, values Document) (any, error) {
	switch v := v.(type) {
	case string:
		if m := parameter.FindStringSubmatch(v); m != nil {
			return values[m[1]], nil
		}
		if strings.HasPrefix(v, "[") && !strings.HasPrefix(v, "[[") {
			return nil, fmt.Errorf("the expression %s is not understood here", v)
		}
		return v, nil
	case Document:
		out := Document{}
		for key, value := range v {
			if key == "dependsOn" || key == "resources" {
				continue
			}
			evaluated, err := evaluate(value, values)
			if err != nil {
				return nil, err
			}
			out[key] = evaluated
		}
		return out, nil
	case []any:
		out := []any{}
		for _, value := range v {
			evaluated, err := evaluate(value, values)
			if err != nil {
				return nil, err
			}
			out = append(out, evaluated)
		}
		return out, nil
	}
	return v, nil
}

// output returns the one thing that the module's template gives back.
func (s *Server) output(scope, expression string, values Document) (any, error) {
	m := hostname.FindStringSubmatch(expression)
	if m == nil {
		return nil, fmt.Errorf("the expression %s is not understood here", expression)
	}
	site := s.resources[strings.ToLower(scope+"/providers/Microsoft.Web/sites/"+text(values[m[1]]))]
	if site == nil {
		return nil, fmt.Errorf("there is no site %v", values[m[1]])
	}
	return site["properties"].(Document)["defaultHostName"], nil
}
