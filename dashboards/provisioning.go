package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/alerting"
)

// Grafana's files of provisioning (grafana.com/docs/grafana, "Provision
// Grafana"), which the SDK does not have. Values of the form ${NAME} come from
// Grafana's environment.

// DASHBOARDS_FOLDER is where the folders of dashboards lie on the server, and
// ALERT_MAIL who is mailed.
const (
	dashboardsFolder = "${DASHBOARDS_FOLDER}"
	alertMail        = "${ALERT_MAIL}"
)

type dataSources struct {
	APIVersion  int          `json:"apiVersion"`
	Datasources []dataSource `json:"datasources"`
}

type dataSource struct {
	UID            string            `json:"uid"`
	Name           string            `json:"name"`
	Type           string            `json:"type"`
	Access         string            `json:"access"`
	URL            string            `json:"url"`
	User           string            `json:"user"`
	Database       string            `json:"database"`
	Editable       bool              `json:"editable"`
	JSONData       map[string]any    `json:"jsonData"`
	SecureJSONData map[string]string `json:"secureJsonData"`
}

func provisionSources() dataSources {
	file := dataSources{APIVersion: 1}
	for _, s := range sources {
		file.Datasources = append(file.Datasources, dataSource{
			UID: s.UID, Name: s.Name, Type: dataSourceType, Access: "proxy",
			URL: "${" + s.Address + "}", User: "grafana_ro", Database: s.Database,
			// The database stands here too: servers from 11 on read this one.
			JSONData:       map[string]any{"database": s.Database, "sslmode": "${DATABASE_SSLMODE}", "postgresVersion": 1500, "maxOpenConns": 5, "timescaledb": false},
			SecureJSONData: map[string]string{"password": "${" + s.Password + "}"},
		})
	}
	return file
}

type providers struct {
	APIVersion int        `json:"apiVersion"`
	Providers  []provider `json:"providers"`
}

type provider struct {
	Name            string            `json:"name"`
	Folder          string            `json:"folder"`
	FolderUID       string            `json:"folderUid"`
	Type            string            `json:"type"`
	AllowUIUpdates  bool              `json:"allowUiUpdates"`
	DisableDeletion bool              `json:"disableDeletion"`
	Options         map[string]string `json:"options"`
}

func provisionProviders() providers {
	file := providers{APIVersion: 1}
	seen := map[string]bool{}
	for _, p := range dashboards {
		if seen[p.Folder.UID] {
			continue
		}
		seen[p.Folder.UID] = true
		file.Providers = append(file.Providers, provider{
			Name: p.Folder.UID, Folder: p.Folder.Title, FolderUID: p.Folder.UID, Type: "file", DisableDeletion: true,
			Options: map[string]string{"path": dashboardsFolder + "/" + p.Folder.UID},
		})
	}
	return file
}

type ruleFile struct {
	APIVersion int         `json:"apiVersion"`
	Groups     []ruleGroup `json:"groups"`
}

// A ruleGroup of a file: the one of the HTTP interface, which the SDK writes,
// has other keys.
type ruleGroup struct {
	OrgID    int             `json:"orgId"`
	Name     string          `json:"name"`
	Folder   string          `json:"folder"`
	Interval string          `json:"interval"`
	Rules    []alerting.Rule `json:"rules"`
}

func provisionRules() (ruleFile, error) {
	group := ruleGroup{OrgID: 1, Name: "datameesh", Folder: alertFolder, Interval: "60s"}
	for _, a := range alerts {
		rule, err := a.build()
		if err != nil {
			return ruleFile{}, err
		}
		group.Rules = append(group.Rules, rule)
	}
	return ruleFile{APIVersion: 1, Groups: []ruleGroup{group}}, nil
}

type notificationFile struct {
	APIVersion    int            `json:"apiVersion"`
	ContactPoints []contactPoint `json:"contactPoints"`
	Policies      []policy       `json:"policies"`
	MuteTimes     []muteTime     `json:"muteTimes"`
}

type contactPoint struct {
	OrgID     int        `json:"orgId"`
	Name      string     `json:"name"`
	Receivers []receiver `json:"receivers"`
}

type receiver struct {
	UID      string         `json:"uid"`
	Type     string         `json:"type"`
	Settings map[string]any `json:"settings"`
}

type policy struct {
	OrgID          int      `json:"orgId,omitempty"`
	Receiver       string   `json:"receiver"`
	GroupBy        []string `json:"group_by,omitempty"`
	GroupWait      string   `json:"group_wait,omitempty"`
	GroupInterval  string   `json:"group_interval,omitempty"`
	RepeatInterval string   `json:"repeat_interval,omitempty"`
	Matchers       []string `json:"matchers,omitempty"`
	Mute           []string `json:"mute_time_intervals,omitempty"`
	Routes         []policy `json:"routes,omitempty"`
}

type muteTime struct {
	OrgID         int            `json:"orgId"`
	Name          string         `json:"name"`
	TimeIntervals []timeInterval `json:"time_intervals"`
}

type timeInterval struct {
	Weekdays []string    `json:"weekdays"`
	Times    []timeRange `json:"times"`
}

type timeRange struct {
	Start string `json:"start_time"`
	End   string `json:"end_time"`
}

func provisionNotifications() notificationFile {
	const maintenance = "maintenance"
	return notificationFile{
		APIVersion: 1,
		ContactPoints: []contactPoint{{OrgID: 1, Name: "mail", Receivers: []receiver{{
			UID: "mail", Type: "email", Settings: map[string]any{"addresses": alertMail, "singleEmail": true},
		}}}},
		Policies: []policy{{
			OrgID: 1, Receiver: "mail", GroupBy: []string{"grafana_folder", "alertname"}, GroupWait: "30s", GroupInterval: "5m", RepeatInterval: "1d",
			// What can wait does not wake anybody during maintenance.
			Routes: []policy{{Receiver: "mail", Matchers: []string{"severity = warning"}, Mute: []string{maintenance}}},
		}},
		MuteTimes: []muteTime{{OrgID: 1, Name: maintenance, TimeIntervals: []timeInterval{{
			Weekdays: []string{"sunday"}, Times: []timeRange{{"02:00", "04:00"}},
		}}}},
	}
}
