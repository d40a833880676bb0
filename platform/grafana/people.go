package grafana

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/datameesh/datameesh/platform/topology"
)

// Admin is the login of the account that makes the others.
const Admin = "meesh"

// Roles of Grafana.
const (
	RoleAdmin  = "Admin"
	RoleEditor = "Editor"
	RoleViewer = "Viewer"
)

// A Person who can log in.
type Person struct {
	Login    string
	Mail     string
	Password string
	Role     string
	Folder   string // title of a folder of their own, whose uid is their login; empty for none
}

// AlertMail are the addresses that alerts are mailed to.
var AlertMail = []string{mailOf("sarah"), mailOf("mike")}

func mailOf(person string) string { return person + "@" + topology.MailDomain }

// People are those of all who can log in to Grafana, with their passwords, and
// gone those who cannot any more: admin, when they are not among all.
func People(all []topology.Person, password func(name string) (string, error)) (people []Person, gone []string, err error) {
	gone = []string{topology.Admin.Name}
	for _, p := range all {
		role, folder := RoleViewer, ""
		switch p.Group {
		case "services", "services_ro": // programs have no use for pages
			continue
		case "engineers":
			role = RoleAdmin
		case "analysts":
			role, folder = RoleEditor, "Own pages of "+p.Name
		}
		secret, err := password(p.Name)
		if err != nil {
			return nil, nil, err
		}
		people = append(people, Person{Login: p.Name, Mail: mailOf(p.Name), Password: secret, Role: role, Folder: folder})
		if p.Name == topology.Admin.Name {
			gone = nil
		}
	}
	return people, gone, nil
}

// SetUp makes the people and their folders, and sets right what differs: there is no
// format of provisioning files for them. Those in gone can log in no more. It can be
// repeated at any time, and returns a line for each thing that it changed.
func SetUp(ctx context.Context, admin Client, people []Person, gone []string) (changes []string, err error) {
	s := setUp{admin, nil}
	for _, p := range people {
		if err := s.person(ctx, p); err != nil {
			return s.changes, fmt.Errorf("set up %s: %w", p.Login, err)
		}
	}
	for _, login := range gone {
		if err := s.disable(ctx, login); err != nil {
			return s.changes, fmt.Errorf("set up %s: %w", login, err)
		}
	}
	return s.changes, nil
}

type setUp struct {
	Client
	changes []string
}

func (s *setUp) changed(format string, args ...any) {
	s.changes = append(s.changes, fmt.Sprintf(format, args...))
}

type user struct {
	ID       int64 `json:"id"`
	Disabled bool  `json:"isDisabled"`
}

// find looks for a user; false when there is none.
func (s *setUp) find(ctx context.Context, login string) (u user, found bool, err error) {
	err = s.Do(ctx, http.MethodGet, "/api/users/lookup?loginOrEmail="+url.QueryEscape(login), nil, &u)
	if status(err) == http.StatusNotFound {
		return u, false, nil
	}
	return u, err == nil, err
}

// status is that of an answer that is no success, else 0.
func status(err error) int {
	if answer, ok := errors.AsType[*StatusError](err); ok {
		return answer.Status
	}
	return 0
}

func (s *setUp) person(ctx context.Context, p Person) error {
	u, found, err := s.find(ctx, p.Login)
	if err != nil {
		return err
	}
	if !found {
		if err := s.Do(ctx, http.MethodPost, "/api/admin/users", map[string]any{
			"login": p.Login, "name": p.Login, "email": p.Mail, "password": p.Password, "OrgId": 1,
		}, &u); err != nil {
			return err
		}
		s.changed("%s made", p.Login)
	}
	if u.Disabled {
		if err := s.Do(ctx, http.MethodPost, fmt.Sprintf("/api/admin/users/%d/enable", u.ID), nil, nil); err != nil {
			return err
		}
		s.changed("%s may log in again", p.Login)
	}
	if err := s.password(ctx, p, u.ID); err != nil {
		return err
	}
	if err := s.Do(ctx, http.MethodPatch, fmt.Sprintf("/api/org/users/%d", u.ID), map[string]any{"role": p.Role}, nil); err != nil {
		return err
	}
	if p.Folder == "" {
		return nil
	}
	return s.folder(ctx, p, u.ID)
}

// password sets it unless it opens: a change would end the person's sessions.
func (s *setUp) password(ctx context.Context, p Person, id int64) error {
	err := Client{s.URL, p.Login, p.Password}.Do(ctx, http.MethodGet, "/api/user", nil, nil)
	if status(err) != http.StatusUnauthorized {
		return err
	}
	if err := s.Do(ctx, http.MethodPut, fmt.Sprintf("/api/admin/users/%d/password", id), map[string]any{"password": p.Password}, nil); err != nil {
		return err
	}
	s.changed("%s: password set", p.Login)
	return nil
}

// folder is a place where one person saves, and all others read.
func (s *setUp) folder(ctx context.Context, p Person, id int64) error {
	path := "/api/folders/" + url.PathEscape(p.Login)
	err := s.Do(ctx, http.MethodGet, path, nil, nil)
	if status(err) == http.StatusNotFound {
		err = s.Do(ctx, http.MethodPost, "/api/folders", map[string]any{"uid": p.Login, "title": p.Folder}, nil)
		s.changed("folder %s made", p.Folder)
	}
	if err != nil {
		return err
	}
	const view, administer = 1, 4 // Grafana's numbers of permissions
	return s.Do(ctx, http.MethodPost, path+"/permissions", map[string]any{"items": []any{
		map[string]any{"userId": id, "permission": administer},
		map[string]any{"role": RoleEditor, "permission": view},
		map[string]any{"role": RoleViewer, "permission": view},
	}}, nil)
}

func (s *setUp) disable(ctx context.Context, login string) error {
	u, found, err := s.find(ctx, login)
	if err != nil || !found || u.Disabled {
		return err
	}
	if err := s.Do(ctx, http.MethodPost, fmt.Sprintf("/api/admin/users/%d/disable", u.ID), nil, nil); err != nil {
		return err
	}
	s.changed("%s may not log in any more", login)
	return nil
}
