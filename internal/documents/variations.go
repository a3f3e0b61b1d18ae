package documents

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Variations returns a JSON object in as many forms as it has members that are
// no objects or arrays: in each, one of them has another value. The keys are the
// members' names, those of members of objects in arrays as well. A member that
// is null becomes a text.
func Variations(object string) map[string]string {
	var root any
	if err := json.Unmarshal([]byte(object), &root); err != nil {
		panic("documents: " + err.Error())
	}
	all := map[string]string{}
	var walk func(name string, value any, set func(any))
	walk = func(name string, value any, set func(any)) {
		switch value := value.(type) {
		case map[string]any:
			for member, inner := range value {
				walk(strings.TrimPrefix(name+"."+member, "."), inner, func(other any) { value[member] = other })
			}
		case []any:
			for i, inner := range value {
				walk(name, inner, func(other any) { value[i] = other })
			}
		default:
			set(another(value))
			text, err := json.Marshal(root)
			if err != nil {
				panic("documents: " + err.Error())
			}
			all[name] = string(text)
			set(value)
		}
	}
	walk("", root, nil)
	return all
}

// another returns another value of the same kind.
func another(value any) any {
	switch value := value.(type) {
	case bool:
		return !value
	case float64:
		return value + 1
	case nil:
		return "other"
	case string:
		if at, err := time.Parse(time.RFC3339, value); err == nil {
			return at.Add(time.Hour).Format("2006-01-02T15:04:05.000Z")
		}
		return "1" + value
	default:
		panic(fmt.Sprintf("documents: a %T", value))
	}
}
