package multiplaytest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

func (s *Server) image(id int64) (*image, *refusal) {
	if image := s.images[id]; image != nil {
		return image, nil
	}
	return nil, &refusal{http.StatusNotFound, "unknown image"}
}

func (s *Server) imageOptions(r *request) (object, *refusal) {
	gameID, imageID := r.optional("gameid"), r.optional("imageid")
	if (gameID == 0) != (imageID == 0) {
		r.fail("gameid and imageid must be given together")
	}
	if r.query.Get("gameversion_identifier") != "" && imageID == 0 {
		r.fail("gameversion_identifier needs gameid and imageid")
	}
	if r.bad != nil {
		return nil, r.bad
	}
	games, images, machines := map[int64]object{}, []object{}, []object{}
	for _, id := range slices.Sorted(maps.Keys(s.images)) {
		image := s.images[id]
		if imageID != 0 && (id != imageID || image.GameID != gameID) {
			continue
		}
		games[image.GameID] = object{"gameid": image.GameID, "name": "Test game"}
		images = append(images, object{"imageid": id, "name": image.Name, "gameversionid": strconv.FormatInt(id+1, 10)})
	}
	for _, id := range s.config.buildMachines {
		machines = append(machines, object{"machineid": id, "name": "build-" + strconv.FormatInt(id, 10)})
	}
	response := object{"images": images, "machines": machines}
	list := []object{}
	for _, id := range slices.Sorted(maps.Keys(games)) {
		list = append(list, games[id])
	}
	response["games"] = list
	if imageID == 0 {
		return response, nil
	}
	image, refused := s.image(imageID)
	if refused != nil {
		return nil, refused
	}
	if image.UpdateURL != "" {
		response["update_url"] = image.UpdateURL
	}
	if d := s.lock(imageID); d != nil {
		response["diffid"] = d.id
	}
	if u := s.running(imageID); u != nil {
		response["updateid"] = u.id
	}
	return response, nil
}

func (s *Server) setActive(r *request) (object, *refusal) {
	r.text("active")
	active := r.flag("active")
	if r.bad != nil {
		return nil, r.bad
	}
	image, refused := s.image(r.id("imageid"))
	if refused != nil {
		return nil, refused
	}
	image.active = active
	flag := 0
	if active {
		flag = 1
	}
	now := s.core.Clock().Now().UTC().Format(time.DateTime)
	response := object{
		"active": flag, "created_at": now, "updated_at": now, "created_by": 1, "updated_by": 1,
		"imageid": image.ID, "path": "/images/" + strconv.FormatInt(image.ID, 10), "gameversionid": image.ID + 1, "latestversionid": 0,
	}
	if latest := s.latest(image.ID); latest != nil {
		response["latestversionid"] = latest.id
	}
	return object{"image": response}, nil
}
